from __future__ import annotations

import functools
import importlib.machinery
import logging
import sys
import types
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ecad_automl.errors import CacheStateError, UnsupportedModelError
from ecad_automl.latency.bench import run_bench
from ecad_automl.latency.bench_plan import BenchPlan
from ecad_automl.latency.contenders import Contender, rivals, uncached
from ecad_automl.models import load_model
from ecad_automl.runtime import apply_schedule, layout_of
from ecad_automl.schedules.schedule import Schedule
from tests.tiny_models import tiny_pixart_transformer


@pytest.fixture
def flux(tiny_folders: Callable[[str], Path]) -> Any:
    model = load_model(str(tiny_folders("flux")))
    return model.with_settings(steps=10, height=16, width=16, max_sequence_length=8)


@pytest.fixture
def deep_pixart(tiny_model: Any) -> Any:
    """As many blocks and steps as cache-dit needs at its defaults: it computes the first eight of both."""
    torch.manual_seed(0)
    tiny_model.pipe.register_modules(transformer=tiny_pixart_transformer(num_layers=10, out_channels=8).eval())
    return tiny_model.with_settings(steps=14)


def of_diffusers(model: Any) -> list[Contender]:
    return [one for one in rivals(model.pipe, model.settings) if one.name != "cache-dit"]


def of_cache_dit(model: Any) -> list[Contender]:
    return [one for one in rivals(model.pipe, model.settings) if one.name == "cache-dit"]


def attributes(pipe: Any) -> dict[str, set[str]]:
    """What modules and the class of the pipeline have of their own."""
    modules = {name: set(vars(module)) - {"_diffusers_hook"} for name, module in pipe.transformer.named_modules()}
    return modules | {"class": set(vars(type(pipe)))}


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
    contenders = [uncached(10), *of_diffusers(flux)]
    (batch,) = run_bench(flux, contenders, BenchPlan((2,), 2, 1)).batches
    rows = {row.name: row for row in batch.rows}
    assert {"First Block Cache", "PAB", "FasterCache", "TaylorSeer", "MagCache"} <= set(rows)
    # What these skip does not depend on what is drawn.
    assert all((rows[name].mac_speedup or 0) > 1.1 for name in ("PAB", "FasterCache", "TaylorSeer", "MagCache"))
    assert len(rows) + len(batch.failed) == len(contenders)
    assert traces(flux.pipe.transformer) == before


def test_where_diffusers_has_no_caches_each_is_listed_with_the_reason(tiny_model: Any) -> None:
    contenders = of_diffusers(tiny_model)
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


def test_cache_dit_runs_where_it_is_installed_and_leaves_nothing_behind(deep_pixart: Any, capsys: Any) -> None:
    pytest.importorskip("cache_dit", reason="cache-dit is not installed")
    pipe = deep_pixart.pipe
    before, call = attributes(pipe), type(pipe).__call__
    contenders = [uncached(14), *of_cache_dit(deep_pixart)]
    # It is entered for the warm-up and for each of two rounds.
    (batch,) = run_bench(deep_pixart, contenders, BenchPlan((1,), 1, 2)).batches
    assert not batch.failed
    plain, cached = batch.rows
    assert plain.mac_speedup == 1.0
    assert 1 < (cached.mac_speedup or 0) < 1.2  # no reuse in the first eight steps, and then of two of ten blocks
    assert attributes(pipe) == before
    assert type(pipe).__call__ is call
    assert capsys.readouterr().out == ""


def test_cache_dit_is_listed_with_its_reason_for_a_model_of_few_blocks(tiny_model: Any) -> None:
    pytest.importorskip("cache_dit", reason="cache-dit is not installed")
    pipe = tiny_model.pipe
    before = attributes(pipe)
    contenders = [uncached(4), *of_cache_dit(tiny_model)]
    (batch,) = run_bench(tiny_model, contenders, BenchPlan((1,), 1, 1)).batches
    assert "must be less than the number of transformer blocks" in batch.failed["cache-dit"]
    assert attributes(pipe) == before


def test_a_schedule_is_refused_while_cache_dit_is_enabled(deep_pixart: Any) -> None:
    pytest.importorskip("cache_dit", reason="cache-dit is not installed")
    pipe = deep_pixart.pipe
    schedule = Schedule.all_compute(layout_of(pipe, height=16, width=16, guidance=True, text_tokens=8), 14)
    (contender,) = of_cache_dit(deep_pixart)
    with contender.enter(), pytest.raises(CacheStateError, match="cache_dit.disable_cache"):
        apply_schedule(pipe, schedule)
    apply_schedule(pipe, schedule).remove()


@pytest.mark.parametrize("fails", [False, True])
def test_what_a_cache_like_cache_dit_changes_is_put_back(
    tiny_model: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fails: bool
) -> None:
    """A stand-in that changes what cache-dit 1.5 does, for where it is not installed."""
    pipe = tiny_model.pipe
    library: Any = types.ModuleType("cache_dit")
    library.__spec__ = importlib.machinery.ModuleSpec("cache_dit", None)
    logger = logging.getLogger("cache_dit.caching")
    caplog.set_level(logging.INFO, logger=logger.name)

    def enable(given: Any) -> None:
        logger.info("enabled")
        real = type(given).__call__

        @functools.wraps(real)
        def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
            return real(self, *args, **kwargs)

        type(given).__call__ = counted
        type(given)._is_cached = True
        given.transformer.forward = given.transformer.forward
        given.transformer._is_patched = True
        given.transformer.transformer_blocks._cached_steps = []
        if fails:
            raise AssertionError("not for this one")

    def disable(given: Any) -> None:
        logger.warning("disabled")
        del type(given)._is_cached

    library.enable_cache, library.disable_cache = enable, disable
    monkeypatch.setitem(sys.modules, "cache_dit", library)

    before, call = attributes(pipe), type(pipe).__call__
    contenders = [uncached(4), *of_cache_dit(tiny_model)]
    (batch,) = run_bench(tiny_model, contenders, BenchPlan((1,), 1, 1)).batches
    assert batch.failed == ({"cache-dit": "AssertionError: not for this one"} if fails else {})
    assert attributes(pipe) == before
    assert type(pipe).__call__ is call
    assert not [record for record in caplog.records if record.name == logger.name]
    assert logger.level == logging.INFO
