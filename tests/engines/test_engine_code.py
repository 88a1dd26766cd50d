"""Exports read by the engines' own code, of packages that cannot run here: ``make test-optional`` brings them along.

SGLang and vLLM-Omni need a GPU and much else to be imported as a whole. What reads a mask there needs little, so it is
imported by itself, with stand-ins for loggers and process groups, and works on a small FLUX of diffusers.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import sys
import types
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

from ecad_automl.engines import export_for
from ecad_automl.schedules.whole_steps import of_whole_steps
from tests.engines.masks import MASK, layout
from tests.tiny_models import tiny_flux_transformer

pytestmark = pytest.mark.filterwarnings("ignore")


def exported(engine: str) -> Any:
    return json.loads(next(iter(export_for(engine, of_whole_steps(layout(), MASK), "found").files.values())))


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Lets parts of a package be imported without what the packages around them import."""

    def of(package: str, *parts: str) -> None:
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            pytest.skip(f"{package} is not installed; see make test-optional")
        root = Path(next(iter(spec.submodule_search_locations)))
        for part in ("", *parts):
            name = f"{package}.{part}".rstrip(".")
            module = types.ModuleType(name)
            module.__path__ = [str(root.joinpath(*part.split(".")) if part else root)]
            monkeypatch.setitem(sys.modules, name, module)

    def stand_in(name: str, **content: Any) -> None:
        module = types.ModuleType(name)
        module.__path__ = []
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)

    before = set(sys.modules)
    yield types.SimpleNamespace(of=of, stand_in=stand_in)
    for name in set(sys.modules) - before:
        if name.split(".")[0] in ("sglang", "vllm", "vllm_omni"):
            sys.modules.pop(name, None)


def flux() -> Any:
    torch.manual_seed(0)
    return tiny_flux_transformer(num_layers=2, num_single_layers=2).eval()


def steps_computed(transformer: Any, part: torch.nn.Module) -> list[int]:
    """At which of as many calls as the mask has a part of a transformer ran."""
    ran: list[int] = []
    step = 0
    part.register_forward_pre_hook(lambda *_: ran.append(step))
    inputs = {
        "hidden_states": torch.randn(1, 16, 16),
        "encoder_hidden_states": torch.randn(1, 5, 12),
        "pooled_projections": torch.randn(1, 8),
        "timestep": torch.ones(1),
        "guidance": torch.ones(1),
        "img_ids": torch.zeros(16, 3),
        "txt_ids": torch.zeros(5, 3),
    }
    with torch.no_grad():
        for step in range(len(MASK)):  # noqa: B007 - read by the hook
            transformer(**inputs)
    return ran


def test_vllm_omni_computes_the_steps_of_the_mask(alone: Any) -> None:
    alone.of("vllm_omni", "diffusion", "diffusion.hooks", "diffusion.cache", "diffusion.cache.magcache")
    alone.stand_in("vllm")
    alone.stand_in("vllm.logger", init_logger=logging.getLogger)
    package = "vllm_omni.diffusion.cache.magcache"
    config, hook, strategy = (import_module(f"{package}.{part}") for part in ("config", "hook", "strategy"))
    wanted = exported("vllm-omni")
    assert wanted["cache_backend"] == "mag_cache"
    given = {key.removeprefix("mag_") if key != "mag_ratios" else key: v for key, v in wanted["cache_config"].items()}
    transformer = flux()
    known = strategy.get_strategy(type(transformer).__name__)
    hook.apply_mag_cache_hook(transformer, config.MagCacheConfig(**given), strategy=known)
    ran = steps_computed(transformer, transformer.transformer_blocks[1].attn)
    assert ran == [step for step, computed in enumerate(MASK) if computed]


def test_the_configuration_of_vllm_omni_has_these_fields(alone: Any) -> None:
    alone.of("vllm_omni")
    root = Path(next(iter(sys.modules["vllm_omni"].__path__)))
    source = (root / "diffusion" / "data.py").read_text()
    body = source.split("class DiffusionCacheConfig")[1].split("def from_dict")[0]
    for key in exported("vllm-omni")["cache_config"]:
        assert f"    {key}: " in body


def test_sglang_takes_these_parameters_and_its_cache_dit_computes_the_steps_of_the_mask(alone: Any) -> None:
    pytest.importorskip("cache_dit", reason="cache-dit is not installed")
    base = "multimodal_gen.runtime"
    alone.of("sglang", "multimodal_gen", base, f"{base}.cache")
    groups = ("classifier_free_guidance", "ring_parallel", "tp", "ulysses_parallel")
    sizes = {f"get_{group}_world_size": lambda: 1 for group in groups}
    alone.stand_in(f"sglang.{base}.distributed")
    alone.stand_in(f"sglang.{base}.distributed.parallel_state", get_dit_group=lambda: None, **sizes)
    alone.stand_in(f"sglang.{base}.utils")
    alone.stand_in(f"sglang.{base}.utils.logging_utils", init_logger=logging.getLogger)
    theirs = import_module(f"sglang.{base}.cache.cache_dit_integration")
    wanted = exported("sglang")
    params = theirs.resolve_cache_dit_request_overrides(wanted["cache_dit_params"])
    bins = params.pop("scm_compute_bins"), params.pop("scm_cache_bins")
    mask = theirs.get_scm_mask("none", wanted["num_inference_steps"], *bins)
    assert mask == MASK
    config = theirs.CacheDitConfig(
        enabled=True,
        num_inference_steps=wanted["num_inference_steps"],
        steps_computation_mask=mask,
        steps_computation_policy=params.pop("scm_policy"),
        **params,
    )
    transformer = flux()
    part = transformer.transformer_blocks[1].attn
    cached = theirs.enable_cache_on_transformer(transformer, config)
    assert steps_computed(cached, part) == [step for step, computed in enumerate(MASK) if computed]
