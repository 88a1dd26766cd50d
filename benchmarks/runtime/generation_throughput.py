"""Images per second of evaluations beside a bare loop over the pipeline, for whole generations of a search.

The bred candidates of a stored study, or of a new small search on the bundled model, are evaluated in the order of the
search, with its prompts and seeds, scores included. The bare loop puts each schedule in force and calls the pipeline
with the prompts, batch by batch, and does nothing with the images. Both take turns candidate by candidate, and the
images must be the same to the bit. Seeds, evaluated before by a search, are left out, so nothing is shared with these.
Processor seconds stand beside those of the clock, which other work of the machine disturbs.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import track

from benchmarks.code import made_by
from benchmarks.machine import RESULTS, machine
from benchmarks.runtime.shared_prefixes import schedules_of
from ecad_automl.schedules.schedule import Schedule

BRED = "bred"


def main(
    storage: Annotated[str | None, typer.Option(help="a stored study; a new search on shapes without")] = None,
    study: str = "shapes",
    evaluations: Annotated[int, typer.Option(help="of the new search")] = 60,
    generations: int = 3,
    offspring: Annotated[int, typer.Option(help="candidates of a generation")] = 8,
    prompts: int = 24,
    batch_size: int = 8,
    threads: int = 1,
    out: Path = RESULTS / "generation_throughput.json",
) -> None:
    """Evaluate generations both ways and write the figures."""
    import torch

    torch.set_num_threads(threads)
    with TemporaryDirectory() as folder:
        at = storage or f"sqlite:///{folder}/new.db"
        identity, schedules = schedules_of(at, storage is None, study, evaluations, origin=BRED)
    wanted = schedules[: generations * offspring]
    if len(wanted) < generations * offspring:
        raise typer.BadParameter(f"The study has {len(schedules)} bred schedules, not {generations * offspring}.")
    prompts = min(prompts, len(identity["prompts"]))
    taken = _taken(identity, wanted, prompts, batch_size)
    by_generation = np.array(taken).reshape(generations, offspring, 2, 2).sum(axis=1)  # ..., way, clock
    each = prompts * len(identity["seeds"])
    images = offspring * each
    summary = {
        "machine": machine(),
        **made_by(("benchmarks.runtime.generation_throughput", "ecad_automl.judging.evaluation")),
        "threads": threads,
        "candidates": offspring,
        "images": each,
        "batch_size": batch_size,
        "steps": [schedule.steps for schedule in wanted],
        "one guidance branch in so many steps": [int(schedule.guidance.alone.sum()) for schedule in wanted],
        "images per second, evaluation and bare loop": (images / by_generation[..., 0]).round(3).tolist(),
        "evaluation / bare loop": (by_generation[:, 1] / by_generation[:, 0])[:, 0].round(3).tolist(),
        "evaluation / bare loop, by processor time": (by_generation[:, 1] / by_generation[:, 0])[:, 1]
        .round(3)
        .tolist(),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(summary, indent=2) + "\n")
    for name in ("evaluation / bare loop", "evaluation / bare loop, by processor time"):
        Console().print(name, summary[name], highlight=False)


def _taken(
    identity: dict[str, Any], schedules: list[Schedule], prompts: int, batch_size: int
) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Seconds by the clock and of the processor of each schedule's evaluation, and of the bare loop."""
    import torch

    from ecad_automl.judging.evaluation import Evaluator
    from ecad_automl.models import load_model
    from ecad_automl.rewards import load_reward
    from ecad_automl.runtime import apply_schedule

    class Seen:
        """The study's reward, which keeps what it is given."""

        def __init__(self) -> None:
            self.name = identity["reward"]
            self._reward: Any = load_reward(self.name)
            self.images: list[torch.Tensor] = []

        def score_pairs(self, images: torch.Tensor, references: torch.Tensor, texts: Any) -> Any:
            self.images.append(images)
            return self._reward.score_pairs(images, references, texts)

    model, texts, seen = load_model(identity["model"], device="cpu"), identity["prompts"][:prompts], Seen()
    items = [(text, seed) for text in texts for seed in identity["seeds"]]
    model.pipe.set_progress_bar_config(disable=True)
    evaluator = Evaluator(model.pipe, texts, identity["seeds"], seen, model.settings, batch_size=batch_size)
    evaluator.baseline()

    def evaluation(schedule: Schedule) -> torch.Tensor:
        seen.images.clear()
        evaluator.evaluate(schedule)
        return torch.cat(seen.images)

    def bare(schedule: Schedule) -> torch.Tensor:
        images = []
        with apply_schedule(model.pipe, schedule) as run:
            for first in range(0, len(items), batch_size):
                some, seeds = zip(*items[first : first + batch_size], strict=True)
                generators = [torch.Generator().manual_seed(seed) for seed in seeds]
                call = {**model.settings.call_arguments(), **run.arguments, "generator": generators}
                images.append(model.pipe(list(some), **call, output_type="pt").images)
        return torch.cat(images)

    found = []
    for number, schedule in enumerate(track(schedules, description="evaluating")):
        seconds, images = {}, {}
        for way in (evaluation, bare) if number % 2 else (bare, evaluation):
            start, used = time.perf_counter(), time.process_time()
            images[way] = way(schedule)
            seconds[way] = time.perf_counter() - start, time.process_time() - used
        if not torch.equal(images[evaluation], images[bare].float()):
            raise RuntimeError(f"Candidate {number} has other images in its evaluation than in the bare loop.")
        found.append((seconds[evaluation], seconds[bare]))
    return found


if __name__ == "__main__":
    typer.run(main)
