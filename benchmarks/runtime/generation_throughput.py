"""Images per second of evaluations beside a bare loop over the pipeline, for whole generations of a search.

A new small search on a bundled model tells what is to be made: the images of each candidate in the order in which it
asked for them, those that tell most of all first, and no others of candidates that it stopped. An evaluator that knows
nothing makes and scores them again, seeds first, which are not timed. The bare loop puts each schedule in force and
calls the pipeline with the prompts, batch by batch, and does nothing with the images. Both take turns candidate by
candidate, under the coefficients that the search has fitted, and the images must be the same to the bit. Processor
seconds stand beside those of the clock, which other work of the machine disturbs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any
from unittest import mock

import numpy as np
import typer
from rich.console import Console
from rich.progress import track

from benchmarks.code import made_by
from benchmarks.machine import RESULTS, machine
from ecad_automl.schedules.schedule import Schedule

BRED = "bred"


@dataclass
class Candidate:
    """A schedule, and the images that a search had made of it: part by part, by their numbers."""

    schedule: Schedule
    bred: bool
    parts: list[list[int]] = field(default_factory=list)

    @property
    def images(self) -> int:
        """How many that are."""
        return sum(map(len, self.parts))


def main(
    model: Annotated[str, typer.Option(help="a bundled model")] = "shapes",
    evaluations: Annotated[int, typer.Option(help="of the search")] = 48,
    generations: Annotated[int, typer.Option(help="that are timed, from the first on")] = 3,
    offspring: Annotated[int, typer.Option(help="candidates of a generation")] = 8,
    batch_size: int = 8,
    out: Path = RESULTS / "generation_throughput.json",
) -> None:
    """Evaluate generations both ways and write the figures."""
    import torch

    torch.set_num_threads(1)
    identity, candidates = searched(model, evaluations, batch_size)
    bred = [number for number, candidate in enumerate(candidates) if candidate.bred][: generations * offspring]
    if len(bred) < generations * offspring:
        raise typer.BadParameter(f"The search bred {len(bred)} candidates, not {generations * offspring}.")
    taken, shared = _taken(identity, candidates[: bred[-1] + 1], batch_size)
    seconds = np.array(taken).reshape(generations, offspring, 2, 2).sum(axis=1)  # ..., way, clock
    images = np.array([candidates[number].images for number in bred]).reshape(generations, offspring)
    ratios = (seconds[:, 1] / seconds[:, 0]).round(3)
    chosen = [candidates[number].schedule for number in bred]
    summary = {
        "machine": machine(),
        **made_by(("benchmarks.runtime.generation_throughput", "ecad_automl.judging.evaluation")),
        "study": {
            "model": model,
            "captions": len(identity["prompts"]),
            "seeds": identity["seeds"],
            "reward": identity["reward"],
            "scheduler": identity["scheduler"],
            "steps": identity["generation"]["steps"],
            "evaluations": evaluations,
        },
        "threads": 1,
        "batch_size": batch_size,
        "seeds before": bred[0],
        "images of each candidate": images.tolist(),
        "steps": [schedule.steps for schedule in chosen],
        "steps with one guidance branch": [int(schedule.guidance.alone.sum()) for schedule in chosen],
        "candidates with fitted coefficients": sum(schedule.fitted is not None for schedule in chosen),
        "shared MACs": round(shared, 3),
        "images per second, evaluation and bare loop": (images.sum(axis=1)[:, None] / seconds[..., 0])
        .round(3)
        .tolist(),
        "evaluation / bare loop": ratios[:, 0].tolist(),
        "evaluation / bare loop, by processor time": ratios[:, 1].tolist(),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(summary, indent=2) + "\n")
    for name in ("shared MACs", "evaluation / bare loop", "evaluation / bare loop, by processor time"):
        Console().print(name, summary[name], highlight=False)


def searched(model: str, evaluations: int, batch_size: int) -> tuple[dict[str, Any], list[Candidate]]:
    """What a new search was about, and its candidates in the order in which it asked for their images."""
    from ecad_automl.api.stored import read_study
    from ecad_automl.cli.app import app
    from ecad_automl.judging.evaluation import Evaluator

    asked: list[Candidate] = []
    scores = Evaluator.scores

    def noted(self: Evaluator, schedule: Schedule, images: Sequence[int]) -> Any:
        if not asked or asked[-1].schedule != schedule:
            asked.append(Candidate(schedule, bred=False))
        asked[-1].parts.append(list(images))
        return scores(self, schedule, images)

    # In this process: workers of their own cannot be listened to.
    with (
        TemporaryDirectory() as folder,
        mock.patch.dict("os.environ", OMP_NUM_THREADS="1"),
        mock.patch.object(Evaluator, "scores", noted),
    ):
        at = f"sqlite:///{folder}/new.db"
        arguments = ["search", "--model", model, "--storage", at, "--batch-size", str(batch_size)]
        app([*arguments, "--evaluations", str(evaluations)], standalone_mode=False)
        found = read_study(at, model)
        bred = {found.schedule(run) for run in found.runs if run.origin == BRED}
    for candidate in asked:
        candidate.bred = candidate.schedule in bred
    return dict(found.identity), asked


def _taken(
    identity: dict[str, Any], candidates: list[Candidate], batch_size: int
) -> tuple[list[tuple[tuple[float, float], tuple[float, float]]], float]:
    """Seconds by the clock and of the processor of each bred candidate's evaluation, and of the bare loop.

    And the share of the MACs of these evaluations that others had spent before.
    """
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

    model, texts, seen = load_model(identity["model"], device="cpu"), identity["prompts"], Seen()
    items = [(text, seed) for text in texts for seed in identity["seeds"]]
    model.pipe.set_progress_bar_config(disable=True)
    evaluator = Evaluator(model.pipe, texts, identity["seeds"], seen, model.settings, batch_size=batch_size)
    evaluator.baseline()

    def evaluation(candidate: Candidate) -> torch.Tensor:
        seen.images.clear()
        for part in candidate.parts:
            evaluator.scores(candidate.schedule, part)
        return torch.cat(seen.images)

    def bare(candidate: Candidate) -> torch.Tensor:
        images = []
        with apply_schedule(model.pipe, candidate.schedule) as run:
            for part in candidate.parts:
                for first in range(0, len(part), batch_size):
                    some, seeds = zip(*[items[number] for number in part[first : first + batch_size]], strict=True)
                    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
                    call = {**model.settings.call_arguments(), **run.arguments, "generator": generators}
                    images.append(model.pipe(list(some), **call, output_type="pt").images)
        return torch.cat(images)

    found = []
    before = evaluator.sharing
    for number, candidate in enumerate(track(candidates, description="evaluating")):
        if not candidate.bred:
            evaluation(candidate)
            before = evaluator.sharing
            continue
        seconds, images = {}, {}
        for way in (evaluation, bare) if number % 2 else (bare, evaluation):
            start, used = time.perf_counter(), time.process_time()
            images[way] = way(candidate)
            seconds[way] = time.perf_counter() - start, time.process_time() - used
        if not torch.equal(images[evaluation], images[bare].float()):
            raise RuntimeError(f"Candidate {number} has other images in its evaluation than in the bare loop.")
        found.append((seconds[evaluation], seconds[bare]))
    after = evaluator.sharing
    return found, (after.shared_macs - before.shared_macs) / (after.macs - before.macs)


if __name__ == "__main__":
    typer.run(main)
