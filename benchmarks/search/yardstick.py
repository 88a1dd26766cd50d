"""What the hypervolumes of a test bed, or of a landscape of the earlier reward, are measured against."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.code import digest
from benchmarks.landscapes import LANDSCAPES, load
from benchmarks.search.beds import BEDS, load_bed
from ecad_automl.bundled import BUNDLED
from ecad_automl.judging.evaluation import Evaluator
from ecad_automl.schedules.layout import Layout

__all__ = ["Yardstick"]


@dataclass(frozen=True)
class Yardstick:
    """What hypervolumes are measured against.

    Args:
        uncached: reward of the uncached run.
        short: reward of the shortest uncached run: worse ones are of no interest.
        cheapest: reward of the schedule that computes its first step only: worse ones hardly exist.
        gmacs: of the uncached run.
    """

    uncached: float
    short: float
    cheapest: float
    gmacs: float

    @classmethod
    def of(cls, landscape: str, work: Path) -> Yardstick:
        """Of a landscape of the earlier reward, measured once."""
        path = work / landscape / "yardstick.json"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(vars(cls._measured(*load(LANDSCAPES[landscape])))))
        return cls(**json.loads(path.read_text()))

    @classmethod
    def of_bed(cls, name: str, work: Path) -> Yardstick:
        """Of a test bed, measured once by each code."""
        bed = BEDS[name]
        code = digest((__name__,), BUNDLED[bed.model].weights)
        path = work / name / f"yardstick-{code}.json"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            found = cls._measured(*load_bed(bed, split="calibration", captions=bed.captions, noises=bed.noises))
            path.write_text(json.dumps(vars(found)))
        return cls(**json.loads(path.read_text()))

    @classmethod
    def _measured(cls, evaluator: Evaluator, layout: Layout) -> Yardstick:
        from studies.seeds import all_reuse, fewer_steps

        steps = evaluator.settings.steps
        return cls(
            evaluator.baseline().reward,
            evaluator.evaluate_steps(min(fewer_steps(steps))).reward,
            evaluator.evaluate(all_reuse(layout, steps)).reward,
            steps * layout.step_macs / 1e9,
        )

    def curve(self, points: Sequence[Sequence[float]], *, wide: bool = False) -> NDArray[np.float64]:
        """Normalized hypervolume after each evaluation.

        Args:
            points: reward and GMACs of the evaluations in order, whatever follows these.
            wide: down to the cheapest schedule, not only to the shortest run.
        """
        from studies.quality import Scale

        scale = Scale(self.uncached, self.cheapest if wide else self.short, self.gmacs)
        values = np.array([point[:2] for point in points])
        return np.array([scale.hypervolume(*values[:count].T) for count in range(1, len(values) + 1)])
