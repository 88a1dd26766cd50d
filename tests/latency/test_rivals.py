from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ecad_automl.errors import UnsupportedModelError
from ecad_automl.latency.bench import run_bench
from ecad_automl.latency.contenders import uncached
from ecad_automl.latency.plan import BenchPlan
from ecad_automl.latency.rivals import rivals
from ecad_automl.models import load_model


@pytest.fixture
def flux(tiny_folders: Callable[[str], Path]) -> Any:
    model = load_model(str(tiny_folders("flux")))
    return model.with_settings(steps=10, height=16, width=16, max_sequence_length=8)


def traces(transformer: Any) -> set[tuple[str, str]]:
    """What a cache could leave on modules."""
    return {
        (name, left)
        for name, module in transformer.named_modules()
        for left in ("forward", "_diffusers_hook", "_forward_hooks")
        if vars(module).get(left)
    }


def test_the_caches_of_diffusers_run_on_flux_and_leave_nothing_behind(flux: Any) -> None:
    before = traces(flux.pipe.transformer)
    contenders = [uncached(10), *rivals(flux.pipe, flux.settings)]
    (batch,) = run_bench(flux, contenders, BenchPlan((2,), 2, 1)).batches
    rows = {row.name: row for row in batch.rows}
    assert {"First Block Cache", "PAB", "FasterCache", "TaylorSeer", "MagCache"} <= set(rows)
    # What these skip does not depend on what is drawn.
    assert all((rows[name].mac_speedup or 0) > 1.1 for name in ("PAB", "FasterCache", "TaylorSeer", "MagCache"))
    assert len(rows) + len(batch.failed) == len(contenders)
    assert traces(flux.pipe.transformer) == before


def test_where_diffusers_has_no_caches_each_is_listed_with_the_reason(tiny_model: Any) -> None:
    contenders = rivals(tiny_model.pipe, tiny_model.settings)
    (batch,) = run_bench(tiny_model, [uncached(4), *contenders], BenchPlan((1,), 1, 1)).batches
    assert set(batch.failed) == {contender.name for contender in contenders}
    assert set(batch.failed.values()) == {"PixArtTransformer2DModel has no enable_cache in diffusers"}


def test_a_cache_that_fails_half_way_leaves_nothing_behind(flux: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusers.hooks import HookRegistry

    hooked = 0
    real = HookRegistry.register_hook

    def fail_later(self: Any, *arguments: Any) -> None:
        nonlocal hooked
        hooked += 1
        if hooked == 2:
            raise RuntimeError("half-way")
        real(self, *arguments)

    monkeypatch.setattr(HookRegistry, "register_hook", fail_later)
    before = traces(flux.pipe.transformer)
    pab = next(contender for contender in rivals(flux.pipe, flux.settings) if contender.name == "PAB")
    with pytest.raises(RuntimeError, match="half-way"), pab.enter():
        pass
    assert hooked == 2
    assert traces(flux.pipe.transformer) == before


def test_ratios_of_another_model_are_not_given_to_magcache(flux: Any, tiny_model: Any) -> None:
    class WithCaches:
        config = tiny_model.pipe.transformer.config

        def enable_cache(self, _config: object) -> None:
            raise AssertionError

    pipe = type("Pipe", (), {"transformer": WithCaches()})()
    (mag,) = (one for one in rivals(pipe, replace(flux.settings, steps=4)) if one.name == "MagCache")
    with pytest.raises(UnsupportedModelError, match=r"for FLUX.1 alone"), mag.enter():
        pass
