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

from benchmarks.landscapes import LANDSCAPES, load
from benchmarks.rivals import RIVALS, BudgetSpentError
from ecad_automl.evaluation import Evaluator
from ecad_automl.schedule import Schedule

__all__ = ["Cell", "run_rival"]


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
        name = self.search.replace(" ", "_").replace("/", "_")
        return work / self.landscape / f"{name}-{self.seed}.jsonl"


def run_rival(cell: Cell, work: Path, progress: Callable[[int], object]) -> list[tuple[float, float]]:
    """Evaluate what a rival asks for, until its budget is spent.

    Args:
        cell: which.
        work: folder of the logs.
        progress: is told the number of evaluations so far.

    Returns:
        (reward, GMACs) of each evaluation, in order.
    """
    log = _Log(cell.log(work))
    points: list[tuple[float, float]] = []
    evaluator, layout = load(LANDSCAPES[cell.landscape])

    def objective(schedule: Schedule) -> tuple[float, float]:
        if len(points) >= cell.evaluations:
            raise BudgetSpentError
        points.append((float(log.scores(schedule, evaluator).mean()), schedule.gmacs))
        progress(len(points))
        return points[-1]

    with suppress(BudgetSpentError):
        RIVALS[cell.search](objective, layout, evaluator.settings.steps, cell.seed)
    return points


class _Log:
    """Scores of evaluated schedules, one line each."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._known: dict[str, list[float]] = {}
        if path.exists():
            # The last line may be half-written.
            lines = [line for line in path.read_text().splitlines() if line.endswith("]")]
            self._known = dict(map(json.loads, lines))
            path.write_text("".join(f"{line}\n" for line in lines))

    def scores(self, schedule: Schedule, evaluator: Evaluator) -> NDArray[np.float64]:
        """``(images,)`` scores, evaluated only if they are not known."""
        genome = schedule.to_hex()
        if genome not in self._known:
            self._known[genome] = [round(float(score), 6) for score in evaluator.evaluate(schedule).scores.ravel()]
            with self._path.open("a") as file:
                file.write(json.dumps([genome, self._known[genome]]) + "\n")
        return np.array(self._known[genome])
