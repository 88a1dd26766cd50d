"""What finished runs of searches gave, kept beside the other results, so that reports need no run to be repeated."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.machine import RESULTS

__all__ = ["KEPT", "Point", "Run", "keep", "kept_run", "kept_runs", "slug"]

KEPT = RESULTS / "sample_efficiency"


class Point(NamedTuple):
    """A whole evaluation.

    Args:
        reward: mean score.
        gmacs: its cost.
        images: that the search had paid for so far, with those of this evaluation.
        genome: effective bits of the schedule; kept for the last front alone.
    """

    reward: float
    gmacs: float
    images: int
    genome: str = ""


@dataclass(frozen=True)
class Run:
    """A search with one seed.

    Args:
        evaluations: its budget, in the images of so many whole evaluations.
        points: whole evaluations, in order.
        about: whatever else is known of it, as JSON values.
    """

    evaluations: int
    points: Sequence[Point]
    about: Mapping[str, Any] = field(default_factory=dict)

    def front(self) -> list[Point]:
        """Its non-dominated points, the cheapest first."""
        return [self.points[i] for i in _front(self.points)]


def _front(points: Sequence[Point]) -> list[int]:
    from surrogate.pareto import pareto_front

    return pareto_front([point.reward for point in points], [point.gmacs for point in points]).tolist()


def slug(search: str) -> str:
    """The name of a search in file names."""
    return search.replace(" ", "_").replace("/", "_")


def _path(landscape: str, search: str, seed: int, folder: Path) -> Path:
    return folder / landscape / f"{slug(search)}-{seed}.json"


def keep(landscape: str, search: str, seed: int, run: Run, folder: Path = KEPT) -> None:
    """Write a finished run, in place of a shorter one."""
    path = _path(landscape, search, seed, folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "evaluations": run.evaluations,
        "about": dict(run.about),
        "front": {index: run.points[index].genome for index in _front(run.points)},
        "points": [[round(point.reward, 7), round(point.gmacs, 7), point.images] for point in run.points],
    }
    path.write_text(json.dumps(document, separators=(",", ":")) + "\n")


def kept_run(landscape: str, search: str, seed: int, folder: Path = KEPT) -> Run | None:
    """What is kept of a search with a seed."""
    path = _path(landscape, search, seed, folder)
    if not path.exists():
        return None
    document = json.loads(path.read_text())
    genomes = document["front"]
    points = [Point(*values, genomes.get(str(index), "")) for index, values in enumerate(document["points"])]
    return Run(document["evaluations"], points, document["about"])


def kept_runs(landscape: str, search: str, folder: Path = KEPT) -> dict[int, Run]:
    """All that is kept of a search, by seed."""
    stem = slug(search)
    seeds = sorted(
        int(path.stem.rpartition("-")[2])
        for path in (folder / landscape).glob("*.json")
        if path.stem.rpartition("-")[0] == stem
    )
    runs = ((seed, kept_run(landscape, search, seed, folder)) for seed in seeds)
    return {seed: run for seed, run in runs if run is not None}
