"""One search with one seed on one landscape, whose evaluations are kept as they are made.

A cell that is broken off is run again from its beginning, but what it had evaluated is read from its log.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.kept import Point, Run, slug
from benchmarks.landscapes import LANDSCAPES, load
from benchmarks.search.objective import BudgetSpentError
from benchmarks.search.outputs import LatentError, output_distance
from benchmarks.search.rivals import RIVALS
from ecad_automl.judging.evaluation import Evaluator
from ecad_automl.schedules.schedule import Schedule

__all__ = ["Cell", "PaidObjective", "run_rival"]


@dataclass(frozen=True)
class Cell:
    """One search with one seed.

    Args:
        landscape: name of the landscape.
        search: name of the search.
        seed: of its randomness.
        evaluations: budget of whole evaluations.
    """

    landscape: str
    search: str
    seed: int
    evaluations: int

    def log(self, work: Path) -> Path:
        """Where its evaluations are kept; the same file for every budget."""
        return work / self.landscape / f"{slug(self.search)}-{self.seed}.jsonl"


def run_rival(cell: Cell, work: Path, progress: Callable[[int], object]) -> Run:
    """Evaluate what a rival asks for, until its budget is spent.

    Args:
        cell: which.
        work: folder of the logs.
        progress: is told the number of evaluations so far.

    Returns:
        What it has evaluated.
    """
    evaluator, layout = load(LANDSCAPES[cell.landscape])
    paid = PaidObjective(evaluator, cell.evaluations * evaluator.images_per_evaluation, cell.log(work), progress)
    with suppress(BudgetSpentError):
        RIVALS[cell.search](paid, layout, evaluator.settings.steps, cell.seed)
    return Run(cell.evaluations, paid.points)


class PaidObjective:
    """What a search may ask for, paid for in images; see :class:`~benchmarks.search.objective.Objective`.

    Args:
        evaluator: of the landscape.
        budget: in images.
        log: where scores are kept; latent errors are kept beside it.
        progress: is told the number of evaluations so far.

    Attributes:
        points: all evaluations so far, in order.
    """

    def __init__(self, evaluator: Evaluator, budget: int, log: Path, progress: Callable[[int], object]) -> None:
        self.points: list[Point] = []
        self._evaluator = evaluator
        self._budget = budget
        self._spent = 0
        self._scores = _Log(log)
        self._errors = _Log(log.with_suffix(".latents.jsonl"), decimals=12)
        self._latents: dict[int, LatentError] = {}
        self._progress = progress

    def __call__(self, schedule: Schedule) -> tuple[float, float]:
        """(reward, GMACs) of a schedule."""
        self._pay(self._evaluator.images_per_evaluation)
        scores = self._scores.values(schedule.to_genome(), lambda: self._evaluator.evaluate(schedule).scores)
        self.points.append(Point(float(scores.mean()), schedule.gmacs, self._spent, schedule.to_genome()))
        self._progress(len(self.points))
        return self.points[-1][:2]

    def output_distance(self) -> NDArray[np.float64]:
        """``(steps, steps)`` mean squares of the difference between the transformer's outputs."""
        self._pay(self._evaluator.images_per_evaluation)
        return output_distance(self._evaluator)

    def latent_error(self, schedule: Schedule, images: int) -> float:
        """Relative mean square error of the last latents."""
        self._pay(images)

        def measured() -> NDArray[np.float64]:
            if images not in self._latents:
                self._latents[images] = LatentError(self._evaluator, images)
            return np.array([self._latents[images](schedule)])

        return float(self._errors.values(f"{images}-{schedule.to_genome()}", measured)[0])

    def _pay(self, images: int) -> None:
        if self._spent + images > self._budget:
            raise BudgetSpentError
        self._spent += images


class _Log:
    """Figures of evaluated schedules, one line each."""

    def __init__(self, path: Path, decimals: int = 6) -> None:
        self._path = path
        self._decimals = decimals
        path.parent.mkdir(parents=True, exist_ok=True)
        self._known: dict[str, list[float]] = {}
        if path.exists():
            # The last line may be half-written.
            lines = [line for line in path.read_text().splitlines() if line.endswith("]")]
            self._known = dict(map(json.loads, lines))
            path.write_text("".join(f"{line}\n" for line in lines))

    def values(self, key: str, measure: Callable[[], NDArray[np.float64]]) -> NDArray[np.float64]:
        """``(n,)`` figures, measured only if they are not known."""
        if key not in self._known:
            self._known[key] = [round(float(value), self._decimals) for value in measure().ravel()]
            with self._path.open("a") as file:
                file.write(json.dumps([key, self._known[key]]) + "\n")
        return np.array(self._known[key])
