from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.hooks import HookRegistry

from ecad_automl.engines import ENGINES, export_for, reuse_note
from ecad_automl.errors import OptionError, ScheduleError
from ecad_automl.models import load_model, model_layout
from ecad_automl.runtime import apply_schedule
from ecad_automl.schedules.drift import Drift
from ecad_automl.schedules.forecast import Forecasts
from ecad_automl.schedules.heuristics import fora
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.schedules.whole_steps import of_whole_steps
from tests.engines.masks import MASK, layout

COMPUTED = [step for step, computed in enumerate(MASK) if computed]


def text_of(engine: str, mask: Any = MASK) -> str:
    return next(iter(export_for(engine, of_whole_steps(layout(), mask), "found").files.values()))


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_has_a_file_named_after_it_and_says_what_was_run(engine: str) -> None:
    made = export_for(engine, of_whole_steps(layout(), MASK), "found")
    assert next(iter(made.files)).startswith(f"found.{engine.replace('.', '-')}.")
    assert made.tested.endswith(".")
    assert made.how


def test_what_is_no_mask_saves_nothing_or_is_for_an_unknown_engine_is_refused() -> None:
    with pytest.raises(ScheduleError, match="chooses within its steps.*--deploy whole-steps.*--project"):
        export_for("steps", fora(layout(), 10, 2, components=["ff"]), "found")
    with pytest.raises(ScheduleError, match="computes every step"):
        export_for("steps", Schedule.all_compute(layout(), 10), "found")
    with pytest.raises(OptionError, match="no export to 'onnx'; choose one of cache-dit, sglang"):
        export_for("onnx", of_whole_steps(layout(), MASK), "found")


def test_steps_are_a_plain_list() -> None:
    assert text_of("steps") == "0 1 4 6 9\n"


def test_sglang_gets_run_lengths() -> None:
    wanted = json.loads(text_of("sglang"))
    assert wanted["num_inference_steps"] == 10
    params = wanted["cache_dit_params"]
    assert (params["scm_compute_bins"], params["scm_cache_bins"]) == ([2, 1, 1, 1], [2, 1, 2])
    assert params["scm_policy"] == "static"


def test_stable_diffusion_cpp_gets_flags_and_is_told_of_the_steps_that_it_computes_anyway() -> None:
    mask = [1, 0, 1, 0] * 5
    made = export_for("sd.cpp", of_whole_steps(layout(), mask), "found")
    flags = shlex.split(next(iter(made.files.values())))
    given = dict(zip(flags[::2], flags[1::2], strict=True))
    assert given["--scm-mask"] == ",".join(map(str, mask))
    assert given["--steps"] == "20"
    # Of 20 steps it caches 3 to 18: the zeros at 1 and at 19 are computed.
    assert "2 more than here" in made.notes[0]
    assert not export_for("sd.cpp", of_whole_steps(layout(), [1, 1, 1, 0, 1, 1, 1, 1, 1, 1]), "found").notes


def test_forecasts_are_told_where_an_engine_has_not_their_weights_and_the_node_has_them() -> None:
    rng = np.random.default_rng(0)
    moved = rng.random((7, 10, 10)).astype(np.float32) + 0.1
    both = moved + moved.transpose(0, 2, 1)
    for each in both:
        np.fill_diagonal(each, 0.0)
    names = tuple(slot.name for slot in layout().slots)
    drift = Drift(names, both[:6], np.ones((6, 10), dtype=np.float32), both[6], np.ones(10, dtype=np.float32))
    skip = ~np.array(MASK, dtype=bool)
    damping = np.full((10, 3), 3)
    weights = Forecasts(drift, layout().component_index)
    schedule = Schedule(layout(), np.ones((10, 6), dtype=bool), skip, damping, weights)
    note = reuse_note(schedule, "cache-dit")
    assert note is not None
    assert "5 of its skipped steps are forecast here" in note
    assert reuse_note(schedule, "comfyui") is None
    assert reuse_note(of_whole_steps(layout(), MASK), "cache-dit") is None
    actions = json.loads(next(iter(export_for("comfyui", schedule, "found").files.values())))["actions"]
    assert [action == 1 for action in actions] == [bool(computed) for computed in MASK]
    assert actions[2] == pytest.approx(schedule.coefficients[2, -1].tolist(), abs=1e-6)


# In engines


@pytest.fixture
def shapes() -> Iterator[Any]:
    """The bundled model, called with as many steps as the mask has."""
    model = load_model("shapes").with_settings(steps=len(MASK))
    yield model
    for module in model.pipe.transformer.modules():
        registry: HookRegistry | None = getattr(module, "_diffusers_hook", None)
        for name in list(registry.hooks) if registry is not None else ():
            registry.remove_hook(name, recurse=False)


def images_of(model: Any) -> Any:
    prompts = ["a small red circle at the top on a blue background", "a large green square on a white background"]
    noise = [torch.Generator().manual_seed(seed) for seed in range(2)]
    made = model.pipe(prompts, generator=noise, output_type="np", **model.settings.call_arguments())
    return torch.from_numpy(np.stack(made.images))


def psnr(a: Any, b: Any) -> float:
    return float(-10 * torch.log10((a - b).square().mean()))


def computed_steps(model: Any, module: Any) -> tuple[list[int], Any]:
    """At which steps a module of the transformer ran, and the images."""
    ran: list[int] = []
    scheduler = model.pipe.scheduler
    hook = module.register_forward_pre_hook(lambda *_: ran.append(scheduler.step_index or 0))
    try:
        return ran, images_of(model)
    finally:
        hook.remove()


def beside_ours(model: Any, theirs: Any) -> None:
    """As near to ours as both are to the uncached images, or nearer."""
    uncached = images_of(model)
    with apply_schedule(model.pipe, of_whole_steps(model_layout(model), MASK)):
        ours = images_of(model)
    assert psnr(ours, theirs) > max(psnr(ours, uncached), psnr(theirs, uncached))


def test_diffusers_computes_the_steps_of_the_mask_and_its_images_are_near_ours(shapes: Any) -> None:
    space: dict[str, Callable[[Any], None]] = {}
    exec(text_of("diffusers"), space)
    space["apply"](shapes.pipe)
    # A block whose hook answers in its place is called, its parts are not.
    ran, theirs = computed_steps(shapes, shapes.pipe.transformer.transformer_blocks[3].attn1)
    assert ran == COMPUTED
    again, same = computed_steps(shapes, shapes.pipe.transformer.transformer_blocks[3].attn1)
    assert again == COMPUTED
    assert torch.equal(same, theirs)
    for module in shapes.pipe.transformer.modules():
        registry = getattr(module, "_diffusers_hook", None)
        for name in list(registry.hooks) if registry is not None else ():
            registry.remove_hook(name, recurse=False)
    beside_ours(shapes, theirs)


def test_cache_dit_computes_the_steps_of_the_mask_and_its_images_are_near_ours(shapes: Any, tmp_path: Path) -> None:
    cache_dit = pytest.importorskip("cache_dit", reason="cache-dit is not installed")
    file = tmp_path / "found.yaml"
    file.write_text(text_of("cache-dit"))
    blocks = shapes.pipe.transformer.transformer_blocks
    first, later = blocks[0], blocks[3]
    cache_dit.enable_cache(shapes.pipe, **cache_dit.load_configs(str(file)))
    try:
        ran, theirs = computed_steps(shapes, later)
        floor, _ = computed_steps(shapes, first)
    finally:
        cache_dit.disable_cache(shapes.pipe)
    assert ran == COMPUTED
    assert floor == list(range(len(MASK)))
    beside_ours(shapes, theirs)


def test_the_classes_of_diffusers_take_the_mask_whatever_it_is() -> None:
    """The rule of MagCache, over many masks."""
    from diffusers.hooks.mag_cache import MagCacheConfig

    rng = np.random.default_rng(0)
    for steps in rng.integers(2, 60, 40).tolist():
        mask = rng.random(steps) < rng.random()
        mask[0], mask[1] = True, False
        space: dict[str, Any] = {}
        exec(text_of("diffusers", mask), space)
        found: list[MagCacheConfig] = []
        space["apply"](SimpleNamespace(transformer=SimpleNamespace(enable_cache=found.append)))
        (config,) = found
        assert len(config.mag_ratios) == config.num_inference_steps == steps
        assert [bool(ratio > 1 + config.threshold) for ratio in config.mag_ratios] == mask.tolist()
        assert config.retention_ratio == 0
        assert config.max_skip_steps >= steps


def test_the_node_is_one_file_that_imports_nothing_of_ours(tmp_path: Path) -> None:
    import subprocess

    made = export_for("comfyui", of_whole_steps(layout(), MASK), "found")
    for name, text in made.files.items():
        (tmp_path / name).write_text(text)
    code = (
        "import sys, ecad_schedule_node as node\n"
        f"actions = node.read_schedule({str(tmp_path / 'found.comfyui.json')!r})\n"
        "print([action is None for action in actions])\n"
        "print(sorted(name for name in sys.modules if name.split('.')[0] in ('ecad_automl', 'torch', 'numpy')))\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [str([bool(computed) for computed in MASK]), "[]"]
