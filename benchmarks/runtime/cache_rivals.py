"""Schedules of this search beside the caches of diffusers and cache-dit, on prompts and noise that no search has seen.

Everything makes the same images of the bundled model, batch by batch: in each round all runs make one batch, in an
order drawn anew. Measured are the reward, the distance to the uncached image, the MACs that the transformer really
does, and its processor time against two uncached runs of the same round. The caches are set by their knobs alone;
schedules of searches are what kept runs of ``earlier searches`` found, chosen by their rewards.

    pip install cache-dit
    python -m benchmarks.runtime.cache_rivals

It goes on where it was interrupted. Without cache-dit its settings are left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
import typer
from rich.console import Console
from rich.progress import track
from torch import Tensor

from benchmarks.kept import EARLIER, kept_run
from benchmarks.landscapes import LANDSCAPES, load
from benchmarks.machine import PROCESSOR_CLOCK, machine
from benchmarks.runtime.cache_report import plot, table
from benchmarks.runtime.cache_settings import cache_dit_settings, diffusers_settings
from benchmarks.runtime.caches import (
    Setting,
    calibrate_magcache,
    has_cache_dit,
    helped,
    installed,
    transformer_macs,
)
from benchmarks.search.our_search import OURS
from ecad_automl.allocator import keep_freed_memory
from ecad_automl.judging.comparison.latents import captured_latents, latent_distance
from ecad_automl.latency.timing import time_call
from ecad_automl.metrics import PSNR
from ecad_automl.models.generation import GenerationSettings, encode_prompts, generate_batch
from ecad_automl.rewards.protocol import PairedReward
from ecad_automl.runtime import ScheduleHandle, apply_schedule
from ecad_automl.schedules.heuristics import fora
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule

LANDSCAPE = "shapes"
SEED = 7  # of the noise; searches had 0 and 1
BATCH = 16
#: Kept runs of the search, and what their schedules are to save at least.
SEARCH_SEEDS = (0, 1)
SPEEDUPS = (1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 5.0)
STEPWISE = "DPCache-like"
UNCACHED = "uncached"


@dataclass(frozen=True)
class Contender:
    """One way to make the images.

    Args:
        series: what it is a setting of; ``knob`` is the setting.
        knob: see above.
        enter: brings the pipeline into that state for a block.
        steps: denoising steps, those of the settings if None.
        each: whether images are made one by one, so that a cache decides for each; such runs are not timed.
        dynamic: whether MACs depend on the images, so that every batch is counted.
    """

    series: str
    knob: str
    enter: Callable[[], AbstractContextManager[Any]] = nullcontext
    steps: int | None = None
    each: bool = False
    dynamic: bool = False

    @property
    def name(self) -> str:
        """Of the setting."""
        return f"{self.series}, {self.knob}" if self.knob else self.series


@dataclass(frozen=True)
class Problem:
    """What images are made of.

    Args:
        pipe: the pipeline.
        settings: how it is called.
        reward: what images are scored by.
        prompts: captions.
        seed: of the noise.
        batch: images a call.
    """

    pipe: Any
    settings: GenerationSettings
    reward: Any
    prompts: Sequence[str]
    seed: int = SEED
    batch: int = BATCH
    encoded: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pipe.set_progress_bar_config(disable=True)
        self.encoded.extend(encode_prompts(self.pipe, self.prompts, self.settings))

    def batches(self) -> list[range]:
        """The numbers of the prompts of each call."""
        return [
            range(start, min(start + self.batch, len(self.prompts)))
            for start in range(0, len(self.prompts), self.batch)
        ]

    def score(self, images: Tensor, uncached: Tensor, numbers: Iterable[int]) -> np.ndarray[Any, Any]:
        """``(n,)`` rewards."""
        prompts = [self.prompts[number] for number in numbers]
        if isinstance(self.reward, PairedReward):
            return self.reward.score_pairs(images, uncached, prompts)
        found: np.ndarray[Any, Any] = self.reward.score(images, prompts)
        return found


@dataclass(frozen=True)
class Made:
    """Images ``(n, 3, h, w)`` and their latents, and the seconds of the transformer."""

    images: Tensor
    latents: Tensor
    seconds: float


def make(problem: Problem, numbers: Sequence[int], steps: int | None) -> Made:
    """One call, in the state that the pipeline is in."""
    pipe, settings = problem.pipe, problem.settings
    settings = settings if steps is None else replace(settings, steps=steps)
    found: list[Tensor] = []

    def call() -> None:
        encoded = [problem.encoded[number] for number in numbers]
        # Each image has noise of its own, of the same seed for every run.
        seeds = [problem.seed * 10_000 + number for number in numbers]
        found.append(generate_batch(pipe, encoded, seeds, settings))

    helped(pipe)
    with captured_latents(pipe) as latents:
        timing = time_call(call, [pipe.transformer], PROCESSOR_CLOCK)
    return Made(found[0], torch.cat(latents), timing.transformer)


def counted(problem: Problem, numbers: Sequence[int], steps: int | None) -> float:
    """MACs of the transformer for an image, in the state that the pipeline is in."""
    return transformer_macs(problem.pipe, lambda: make(problem, numbers, steps)) / len(numbers)


def measure(
    problem: Problem, contenders: Sequence[Contender], kept: dict[str, Any], save: Callable[[], None]
) -> Iterator[str]:
    """Make what is missing, batch after batch.

    Args:
        problem: what images are made of.
        contenders: how.
        kept: what was found so far, by the name of the contender; gets what is found now.
        save: called whenever something was found.

    Yields:
        The name of each contender when a batch of it is done.
    """
    psnr = PSNR()
    for number, batch in enumerate(problem.batches()):
        todo = [one for one in contenders if _batches_of(kept, one.name) <= number]
        if not todo:
            continue
        reference = make(problem, batch, None)
        base = problem.score(reference.images, reference.images, batch)
        full = kept.setdefault(UNCACHED, {"macs": counted(problem, batch[:1], None)})["macs"]
        orders = np.random.default_rng(number).permutation(len(todo) + 1)
        made: dict[str, dict[str, Any]] = {}
        seconds = [reference.seconds]
        for index in orders:
            if index == len(todo):  # a second uncached run, somewhere among the others
                seconds.append(make(problem, batch, None).seconds)
                continue
            one = todo[index]
            with one.enter():
                calls = [batch[i : i + 1] for i in range(len(batch))] if one.each else [batch]
                macs: list[float] = []
                # Before what is timed: a schedule prepares blocks in its first run.
                if one.dynamic:
                    macs = [counted(problem, numbers, one.steps) for numbers in calls]
                elif number == 0:
                    macs = [counted(problem, batch[:1], one.steps)]
                parts = [make(problem, numbers, one.steps) for numbers in calls]
            images, latents = torch.cat([part.images for part in parts]), torch.cat([part.latents for part in parts])
            made[one.name] = {
                "series": one.series,
                "knob": one.knob,
                "reward": (problem.score(images, reference.images, batch) - base).round(5).tolist(),
                "psnr": psnr.score_pairs(images, reference.images, []).round(3).tolist(),
                "latents": latent_distance(latents, reference.latents).round(5).tolist(),
                "seconds": None if one.each else parts[0].seconds,
                "mac_speedups": [round(full / value, 5) for value in macs],
            }
            yield one.name
        for name, found in made.items():
            _add(kept, name, found, float(np.mean(seconds)))
        save()


def _batches_of(kept: Mapping[str, Any], name: str) -> int:
    return int(kept[name]["batches"]) if name in kept else 0


def _add(kept: dict[str, Any], name: str, found: Mapping[str, Any], uncached: float) -> None:
    entry = kept.setdefault(
        name,
        {
            "series": found["series"],
            "knob": found["knob"],
            "batches": 0,
            "reward": [],
            "psnr": [],
            "latents": [],
            "mac_speedups": [],
            "time_speedups": [],
        },
    )
    entry["batches"] += 1
    for key in ("reward", "psnr", "latents", "mac_speedups"):
        entry[key].extend(found[key])
    if found["seconds"] is not None:
        entry["time_speedups"].append(round(uncached / found["seconds"], 4))


def schedules_of(layout: Layout, steps: int, folder: Path = EARLIER) -> dict[tuple[str, str], Schedule]:
    """What is compared with the caches, by series and knob: schedules of kept searches, and FORA."""
    full = steps * layout.step_macs / 1e9
    found: dict[tuple[str, str], Schedule] = {}
    for search, seeds in ((OURS, SEARCH_SEEDS), (STEPWISE, (0,))):
        for seed in seeds:
            run = kept_run(LANDSCAPE, search, seed, folder)
            if run is None:
                continue
            for speedup in SPEEDUPS if search == OURS else SPEEDUPS[1:-1]:
                cheap = [point for point in run.front() if point.gmacs <= full / speedup]
                if cheap:
                    best = max(cheap, key=lambda point: point.reward)
                    # Two speedups may have the same schedule, which is then made once.
                    knob = f"search {seed}, {full / best.gmacs:.2f}x"
                    found[search, knob] = Schedule.from_genome(layout, steps, best.genome)
    found |= {("FORA", f"every {n} steps"): fora(layout, steps, n) for n in (2, 3, 4)}
    return found


def contenders_of(
    pipe: Any,
    schedules: Mapping[tuple[str, str], Schedule],
    settings: Sequence[Setting],
    fewer: Sequence[int] = (13, 10, 8, 5, 4),
) -> list[Contender]:
    """All that is compared.

    Args:
        pipe: the pipeline.
        schedules: by series and knob.
        settings: of caches.
        fewer: steps of uncached runs.
    """
    handle: ScheduleHandle | None = None

    @contextmanager
    def scheduled(schedule: Schedule) -> Iterator[None]:
        nonlocal handle  # blocks prepared for one schedule serve the next
        with handle.switch(schedule) if handle else apply_schedule(pipe, schedule) as handle:
            yield

    found = [Contender(series, knob, partial(scheduled, schedule)) for (series, knob), schedule in schedules.items()]
    found += [Contender("fewer steps", f"{steps} steps", steps=steps) for steps in fewer]
    for one in settings:
        series = f"{one.library} {one.cache}"
        found.append(Contender(series, one.knob, partial(installed, pipe, one), dynamic=one.dynamic))
        if one.also_each:
            series = f"{series}, image by image"
            found.append(Contender(series, one.knob, partial(installed, pipe, one), each=True, dynamic=True))
    return found


def load_problem(prompts: int) -> tuple[Problem, Layout]:
    """The bundled model with held-out captions."""
    evaluator, layout = load(LANDSCAPES[LANDSCAPE], split="held-out", prompts=prompts)
    return Problem(evaluator.pipe, evaluator.settings, evaluator.reward, evaluator.prompts), layout


def all_settings(problem: Problem, schedules: Mapping[tuple[str, str], Schedule]) -> list[Setting]:
    """The settings of all caches that are installed."""
    steps = problem.settings.steps
    ratios = calibrate_magcache(problem.pipe, lambda: make(problem, problem.batches()[0], None), steps)
    found = diffusers_settings(steps, ratios)
    if has_cache_dit():
        masks = {
            f"steps of {STEPWISE}, {int(whole.sum())}": [int(step) for step in whole]
            for (series, _), schedule in schedules.items()
            if series == STEPWISE and steps / 4 < (whole := schedule.effective.any(axis=1)).sum() < steps / 2
        }
        found += cache_dit_settings(steps, masks)
    return found


def main(prompts: int = 48, results: Path = EARLIER.parent) -> None:
    """Make what is missing, and write table and plot."""
    torch.set_num_threads(1)
    keep_freed_memory()
    diffusers.utils.logging.set_verbosity_error()  # FasterCache warns that it is an experiment
    problem, layout = load_problem(prompts)
    schedules = schedules_of(layout, problem.settings.steps)
    contenders = contenders_of(problem.pipe, schedules, all_settings(problem, schedules))
    path = results / "cache_rivals.json"
    about: dict[str, Any] = {
        "machine": machine(),
        "cache_dit": _cache_dit_version(),
        "landscape": LANDSCAPE,
        "prompts": prompts,
        "seed": SEED,
        "batch": problem.batch,
        "search_seeds": list(SEARCH_SEEDS),
    }
    kept: dict[str, Any] = json.loads(path.read_text())["runs"] if path.exists() else {}

    def save() -> None:
        partial_path = path.with_suffix(".partial")
        lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(entry)}" for name, entry in kept.items())
        head = json.dumps(about, indent=1)
        partial_path.write_text(f'{head[:-2]},\n "runs": {{\n{lines}\n }}\n}}\n')
        partial_path.replace(path)

    left = sum(len(problem.batches()) - _batches_of(kept, one.name) for one in contenders)
    for _ in track(measure(problem, contenders, kept, save), total=left, description="held-out runs"):
        pass
    save()
    text = table(kept)
    path.with_suffix(".md").write_text(text + "\n")
    plot(path.with_suffix(".png"), kept)
    Console().print(text, highlight=False)


def _cache_dit_version() -> str | None:
    from importlib.metadata import version

    return version("cache_dit") if has_cache_dit() else None


if __name__ == "__main__":
    typer.run(main)
