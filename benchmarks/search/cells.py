"""One search with one seed on one test bed, whose evaluations are kept as they are made.

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

from benchmarks.code import Made
from benchmarks.kept import Point, Run, slug
from benchmarks.search.beds import BEDS, load_bed
from benchmarks.search.objective import BudgetSpentError, Mask, Objective, text_of
from benchmarks.search.outputs import LatentError, output_products
from benchmarks.search.whole_steps import computing_only
from ecad_automl.judging.evaluation import Evaluator
from ecad_automl.runtime import measure_drift
from ecad_automl.schedules.drift import Drift
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule

__all__ = ["Cell", "PaidObjective", "Rival", "run_rival"]

#: Called with what it may ask for, the slots, the number of steps and a seed; ends when its budget does.
Rival = Callable[[Objective, Layout, int, int], None]

#: What a search may ask for again in a row, as a multiple of the evaluations of its budget, before it counts as ended.
_REPEATS = 100


@dataclass(frozen=True)
class Cell:
    """One search with one seed.

    Args:
        bed: name of the test bed.
        search: name of the search.
        seed: of its randomness.
        evaluations: budget of whole evaluations.
        made: the code that it is run by.
    """

    bed: str
    search: str
    seed: int
    evaluations: int
    made: Made

    def log(self, work: Path) -> Path:
        """Where its evaluations are kept; the same file for every budget, another for other code."""
        return work / self.bed / f"{slug(self.search)}-{self.seed}-{self.made['code']}.jsonl"


def run_rival(
    cell: Cell, search: Rival, shortest: Callable[[int], int], work: Path, progress: Callable[[int], object]
) -> Run:
    """Evaluate what a rival asks for, until its budget is spent.

    Args:
        cell: which.
        search: it.
        shortest: from the number of steps to that of the uncached run at whose reward the floor is.
        work: folder of the logs.
        progress: is told the number of evaluations so far.

    Returns:
        What it has evaluated.
    """
    bed = BEDS[cell.bed]
    evaluator, layout = load_bed(bed, split="calibration", captions=bed.captions, noises=bed.noises)
    steps = evaluator.settings.steps
    paid = PaidObjective(
        evaluator,
        layout,
        budget=cell.evaluations * evaluator.images_per_evaluation,
        shortest=shortest(steps),
        calls=bed.calls,
        log=cell.log(work),
        progress=progress,
    )
    with suppress(BudgetSpentError):
        search(paid, layout, steps, cell.seed)
    return Run(cell.evaluations, paid.points, made=cell.made)


class PaidObjective:
    """What a search may ask for, paid for in images; see :class:`~benchmarks.search.objective.Objective`.

    Args:
        evaluator: of the bed.
        layout: the slots of its transformer.
        budget: in images.
        shortest: steps of the uncached run at whose reward the floor is.
        log: where scores are kept; latent errors are kept beside it.
        progress: is told the number of evaluations so far.
        calls: of the transformer in each step.

    Attributes:
        points: all evaluations so far that were paid for, in order.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        layout: Layout,
        *,
        budget: int,
        shortest: int,
        log: Path,
        progress: Callable[[int], object],
        calls: int = 1,
    ) -> None:
        self.points: list[Point] = []
        self._evaluator, self._layout, self._calls = evaluator, layout, calls
        self._budget, self._shortest = budget, shortest
        self._spent = self._repeats = 0
        self._scores = _Log(log)
        self._errors = _Log(log.with_suffix(".latents.jsonl"), decimals=12)
        self._latents: dict[int, LatentError] = {}
        self._known: dict[str, tuple[float, float]] = {}
        self._floor: float | None = None
        self._drift: Drift | None = None
        self._progress = progress

    def __call__(self, schedule: Schedule) -> tuple[float, float]:
        """(reward, GMACs) of a schedule."""
        if schedule.effective.all():
            return self._uncached()
        return self._evaluated(schedule.to_genome(), schedule.gmacs, lambda: self._evaluator.evaluate(schedule).scores)

    def predicted(self, mask: Mask) -> tuple[float, float]:
        """(reward, GMACs) of computing some steps and extrapolating the output in the others."""
        steps = self._evaluator.settings.steps
        if len(mask) == steps:
            return self._uncached()

        def scores() -> NDArray[np.float64]:
            with computing_only(self._evaluator.pipe, mask, steps=steps, calls=self._calls):
                return self._evaluator.evaluate_steps(steps).scores

        self._evaluator.baseline()  # not while steps are left out
        return self._evaluated(text_of(mask), len(mask) * self._layout.step_macs / 1e9, scores)

    def _uncached(self) -> tuple[float, float]:
        full = Schedule.all_compute(self._layout, self._evaluator.settings.steps)
        return self._evaluated(full.to_genome(), full.gmacs, lambda: self._evaluator.baseline().scores, free=True)

    def floor(self) -> float:
        """The reward of the shortest uncached run of interest."""
        if self._floor is None:
            self._pay(self._evaluator.images_per_evaluation)
            key = f"{self._shortest} steps"
            scores = self._scores.values(key, lambda: self._evaluator.evaluate_steps(self._shortest).scores)
            self._floor = float(scores.mean())
        return self._floor

    def drift(self) -> Drift:
        """How the outputs of all slots move in an uncached run."""
        if self._drift is None:
            images, steps = self._evaluator.images_per_evaluation, self._evaluator.settings.steps
            self._pay(images)
            self._drift = measure_drift(
                self._evaluator.pipe, lambda: self._evaluator.generate_some(images), steps=steps
            )
        return self._drift

    def output_products(self) -> NDArray[np.float64]:
        """``(steps, steps)`` mean products of the transformer's outputs."""
        self._pay(self._evaluator.images_per_evaluation)
        return output_products(self._evaluator, self._calls)

    def latent_error(self, schedule: Schedule, images: int) -> float:
        """Relative mean square error of the last latents."""
        self._pay(images)

        def measured() -> NDArray[np.float64]:
            if images not in self._latents:
                self._latents[images] = LatentError(self._evaluator, images)
            return np.array([self._latents[images](schedule)])

        return float(self._errors.values(f"{images}-{schedule.to_genome()}", measured)[0])

    def _evaluated(
        self, key: str, gmacs: float, measure: Callable[[], NDArray[np.float64]], *, free: bool = False
    ) -> tuple[float, float]:
        if key in self._known:
            self._repeats += 1
            if self._repeats * self._evaluator.images_per_evaluation > _REPEATS * self._budget:
                raise BudgetSpentError
            return self._known[key]
        self._pay(0 if free else self._evaluator.images_per_evaluation)
        self._repeats = 0
        scores = self._scores.values(key, measure)
        self.points.append(Point(float(scores.mean()), gmacs, self._spent, key, scores.tolist()))
        self._known[key] = self.points[-1][:2]
        self._progress(len(self.points))
        return self._known[key]

    def _pay(self, images: int) -> None:
        if self._spent + images > self._budget:
            raise BudgetSpentError
        self._spent += images


class _Log:
    """Figures of what was evaluated, one line each."""

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
