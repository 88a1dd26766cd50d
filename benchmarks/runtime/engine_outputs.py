"""The same masks of steps under this project, diffusers and cache-dit: how near their images are, and how good.

On held-out captions of the bundled model. Each mask is exported as a user exports it, and each engine computes its
steps, which is counted. Needs cache-dit, which is no dependency::

    pip install cache-dit
    python -m benchmarks.runtime.engine_outputs
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
import typer

from benchmarks.machine import RESULTS, machine
from ecad_automl import apply_schedule, load_model
from ecad_automl.engines import export_for
from ecad_automl.models import model_layout
from ecad_automl.runtime import measure_drift
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.schedules.whole_steps import whole_steps_of
from ecad_automl.shapes.world import prompts
from studies.deployed import least_drift_masks

#: Computed steps of 20, from gentle to harsh.
COUNTS = (14, 10, 8, 6, 5)


@contextmanager
def _ours(pipe: Any, schedule: Schedule) -> Iterator[None]:
    with apply_schedule(pipe, schedule):
        yield


@contextmanager
def _skipping(pipe: Any, schedule: Schedule) -> Iterator[None]:
    """The steps skipped as a whole, first block included, as the node for ComfyUI does."""
    mask = whole_steps_of(schedule)
    assert mask is not None
    with apply_schedule(pipe, Schedule(schedule.layout, np.ones_like(schedule.effective), ~mask)):
        yield


@contextmanager
def _cache_dit(pipe: Any, schedule: Schedule) -> Iterator[None]:
    library = import_module("cache_dit")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "mask.yaml"
        file.write_text(next(iter(export_for("cache-dit", schedule, "mask").files.values())))
        library.enable_cache(pipe, **library.load_configs(str(file)))
    try:
        yield
    finally:
        library.disable_cache(pipe)


@contextmanager
def _diffusers(pipe: Any, schedule: Schedule) -> Iterator[None]:
    space: dict[str, Any] = {}
    exec(next(iter(export_for("diffusers", schedule, "mask").files.values())), space)  # noqa: S102 - a program of ours
    space["apply"](pipe)
    try:
        yield
    finally:
        for module in pipe.transformer.modules():
            registry = getattr(module, "_diffusers_hook", None)
            for name in list(registry.hooks) if registry is not None else ():
                registry.remove_hook(name, recurse=False)


ENGINES: dict[str, Callable[[Any, Schedule], Any]] = {
    "ours": _ours,
    "ours, skipping": _skipping,
    "diffusers": _diffusers,
    "cache-dit": _cache_dit,
}


def _psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Mean over images, in dB."""
    return float((-10 * np.log10(((a - b) ** 2).mean(axis=(1, 2, 3)))).mean())


def table(found: Mapping[str, Any]) -> str:
    """Markdown: PSNR in dB, by mask."""
    names = list(found["rows"][0]["psnr to the uncached images"])
    others = list(found["rows"][0]["psnr to ours"])
    head = ["steps computed", *(f"{name}, to uncached" for name in names), *(f"{name}, to ours" for name in others)]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for row in found["rows"]:
        told = [row["psnr to the uncached images"][name] for name in names]
        told += [row["psnr to ours"][name] for name in others]
        steps = f"{sum(row['mask'])} of {len(row['mask'])}"
        lines.append(f"| {' | '.join([steps, *(f'{value:.1f}' for value in told)])} |")
    return "\n".join(lines)


def main(captions: int = 48, batch_size: int = 24, out: Path = RESULTS / "engine_outputs.json") -> None:
    """Make the images of every mask under every engine."""
    model = load_model("shapes")
    pipe, texts = model.pipe, list(prompts("held-out", captions))
    pipe.set_progress_bar_config(disable=True)

    def images() -> np.ndarray:
        made = []
        for start in range(0, captions, batch_size):
            some = texts[start : start + batch_size]
            noise = [torch.Generator().manual_seed(1000 + start + index) for index in range(len(some))]
            made.append(pipe(some, generator=noise, output_type="np", **model.settings.call_arguments()).images)
        return np.concatenate(made)

    found: list[np.ndarray] = []
    drift = measure_drift(pipe, lambda: found.append(images()), steps=model.settings.steps)
    (uncached,) = found
    masks = least_drift_masks(drift, model_layout(model))
    rows = []
    for count in COUNTS:
        schedule = masks[count - 1]
        computed = whole_steps_of(schedule)
        assert computed is not None
        made, ran = {}, {}
        for name, put in ENGINES.items():
            calls: list[int] = []
            with put(pipe, schedule):
                part = pipe.transformer.transformer_blocks[3].attn1
                hook = part.register_forward_pre_hook(lambda *_, calls=calls: calls.append(1))
                made[name] = images()
                hook.remove()
            ran[name] = len(calls) / (captions // batch_size)
        rows.append(
            {
                "mask": computed.astype(int).tolist(),
                "mac_speedup": schedule.mac_speedup,
                "psnr to the uncached images": {name: _psnr(each, uncached) for name, each in made.items()},
                "psnr to ours": {name: _psnr(each, made["ours"]) for name, each in made.items() if name != "ours"},
                # Of ours blocks are recorded and run by themselves, so hooks of their parts see the first run alone.
                "steps computed": {name: each for name, each in ran.items() if not name.startswith("ours")},
            }
        )
        typer.echo(json.dumps(rows[-1]))
    packages = {"cache-dit": "cache_dit", "diffusers": "diffusers"}
    versions = {name: import_module(module).__version__ for name, module in packages.items()}
    about = {"machine": machine(), **versions, "captions": captions, "seed": 1000}
    out.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
