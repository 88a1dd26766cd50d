"""What finished runs of searches gave, kept beside the other results, so that reports need no run to be repeated."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.code import Made
from benchmarks.machine import RESULTS, machine

__all__ = ["EARLIER", "KEPT", "Point", "Run", "keep", "kept_run", "kept_runs", "slug"]

#: Of searches on the test beds.
KEPT = RESULTS / "searches"
#: Of searches by the earlier reward of captions, in which cached outputs were only reused.
EARLIER = RESULTS / "sample_efficiency"


class Point(NamedTuple):
    """A whole evaluation.

    Args:
        reward: mean score.
        gmacs: its cost.
        images: that the search had paid for so far, with those of this evaluation.
        genome: what was run, as text; kept for the last front alone.
        scores: of the single images, by caption, then noise.
    """

    reward: float
    gmacs: float
    images: int
    genome: str = ""
    scores: Sequence[float] = ()


@dataclass(frozen=True)
class Run:
    """A search with one seed.

    Args:
        evaluations: its budget, in the images of so many whole evaluations.
        points: whole evaluations, in order.
        about: whatever else is known of it, as JSON values.
        made: by which code, see :mod:`benchmarks.code`; nothing where that was not kept.
    """

    evaluations: int
    points: Sequence[Point]
    about: Mapping[str, Any] = field(default_factory=dict)
    made: Made = field(default_factory=dict)

    def front(self) -> list[Point]:
        """Its non-dominated points, the cheapest first."""
        return [self.points[i] for i in _front(self.points)]


def _front(points: Sequence[Point]) -> list[int]:
    from surrogate.pareto import pareto_front

    return pareto_front([point.reward for point in points], [point.gmacs for point in points]).tolist()


def slug(search: str) -> str:
    """The name of a search in file names."""
    return search.replace(" ", "_").replace("/", "_")


def _path(bed: str, search: str, seed: int, folder: Path) -> Path:
    return folder / bed / f"{slug(search)}-{seed}.json"


def keep(bed: str, search: str, seed: int, run: Run, folder: Path = KEPT) -> None:
    """Write a finished run, in place of a shorter one or one of other code."""
    path = _path(bed, search, seed, folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {
        **run.made,
        "machine": machine(),
        "evaluations": run.evaluations,
        "about": dict(run.about),
        "front": {index: run.points[index].genome for index in _front(run.points)},
        "points": [[round(point.reward, 7), round(point.gmacs, 7), point.images] for point in run.points],
        "scores": [[round(score, 5) for score in point.scores] for point in run.points],
    }
    path.write_text(json.dumps(document, separators=(",", ":")) + "\n")


def kept_run(bed: str, search: str, seed: int, folder: Path = KEPT) -> Run | None:
    """What is kept of a search with a seed."""
    path = _path(bed, search, seed, folder)
    if not path.exists():
        return None
    document = json.loads(path.read_text())
    genomes, scores = document["front"], document.get("scores")
    points = [
        Point(*values, genomes.get(str(index), ""), tuple(scores[index]) if scores else ())
        for index, values in enumerate(document["points"])
    ]
    made = {name: document[name] for name in ("commit", "code") if name in document}
    return Run(document["evaluations"], points, document["about"], made)


def kept_runs(bed: str, search: str, folder: Path = KEPT) -> dict[int, Run]:
    """All that is kept of a search, by seed."""
    stem = slug(search)
    seeds = sorted(
        int(path.stem.rpartition("-")[2])
        for path in (folder / bed).glob("*.json")
        if path.stem.rpartition("-")[0] == stem
    )
    runs = ((seed, kept_run(bed, search, seed, folder)) for seed in seeds)
    return {seed: run for seed, run in runs if run is not None}
