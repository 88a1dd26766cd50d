"""What a search minimizes: exact MACs, or the latency that a fitted model predicts; and the front in terms of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ecad_automl.errors import StorageError
from ecad_automl.latency.latency_model import LatencyModel
from ecad_automl.schedules.effect import forecast_slots
from ecad_automl.schedules.genes import Actions
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule
from storage import EvaluationRecord
from surrogate.pareto import pareto_front

Floats = NDArray[np.float64]

#: Names of the second objective in a study.
GMACS = "gmacs"
LATENCY_MS = "latency_ms"


@dataclass(frozen=True, eq=False)
class Cost:
    """A cost of schedules, known without running them.

    Args:
        name: of the objective.
        prices: ``(slots,)``: what one more computation of each slot costs, in any unit; for drift-optimal schedules.
        of: from a schedule to its cost.
        of_actions: from what ``n`` schedules do, of which the effective computes count, to their ``(n,)`` costs.
        of_steps: from a number of steps to the cost of an uncached run.
    """

    name: str
    prices: NDArray[np.float64] | NDArray[np.int64]
    of: Callable[[Schedule], float]
    of_actions: Callable[[Actions], Floats]
    of_steps: Callable[[int], float]

    def latency_ms(self, cost: float) -> float | None:
        """The latency of what costs so much; None where something else is minimized."""
        return cost if self.name == LATENCY_MS else None


def mac_cost(layout: Layout) -> Cost:
    """MACs of the transformer for one image, in 10^9: equal to ``Schedule.gmacs``."""

    def of_actions(actions: Actions) -> Floats:
        effective, run, alone = actions.compute, ~actions.skip, actions.alone
        macs = run.sum(axis=1) * layout.constant_macs + effective.sum(axis=1) @ layout.slot_macs
        if alone.any():
            other = np.append(layout.slot_macs, layout.constant_macs) - layout.conditional_macs[:, 0]
            macs = macs - (effective & alone[:, :, None]).sum(axis=1) @ other[:-1] - alone.sum(axis=1) * other[-1]
        gmacs: Floats = macs / 1e9
        return gmacs

    return Cost(GMACS, layout.slot_macs, attrgetter("gmacs"), of_actions, lambda steps: steps * layout.step_macs / 1e9)


def latency_cost(model: LatencyModel, images: int) -> Cost:
    """Time of the transformer for one image, in milliseconds."""
    scale = 1000 / images

    def of_actions(actions: Actions) -> Floats:
        forecast = None
        if actions.damping.any():
            levels = actions.damping[..., model.layout.component_index]
            forecast = forecast_slots(actions.compute, model.layout.reader_index, levels, actions.skip)
        return scale * model.predict(actions.compute, actions.skip, forecast, actions.alone)

    def of(schedule: Schedule) -> float:
        actions = schedule.effective, schedule.skip, schedule.forecast[:, :-1], schedule.guidance.alone
        effective, skip, forecast, alone = (each[None] for each in actions)
        return float(scale * model.predict(effective, skip, forecast, alone)[0])

    return Cost(
        LATENCY_MS,
        model.slot_prices,
        of,
        of_actions,
        lambda steps: 1000 * model.uncached(steps) / images,
    )


class Costly(Protocol):
    """What a record of any run says of its cost."""

    @property
    def gmacs(self) -> float:
        """Multiply-accumulates in 10^9; lower is better."""

    @property
    def latency_ms(self) -> float | None:
        """Milliseconds for one image; lower is better. None where nobody measured or modeled them."""


def study_cost(identity: Mapping[str, Any]) -> Callable[[Costly], float]:
    """What a study minimizes: the cost of a record of it, which raises ``StorageError`` where the record lacks it.

    Studies that say nothing of latency minimize MACs.
    """
    return _latency if "cost" in identity else attrgetter("gmacs")


def study_front(evaluations: Iterable[EvaluationRecord], identity: Mapping[str, Any]) -> list[EvaluationRecord]:
    """The front of a study in what it minimizes, the cheapest first.

    Args:
        evaluations: of the study; incomplete and infeasible ones are left out. Of evaluations with the same reward and
            cost the first is taken.
        identity: of the study.
    """
    cost = study_cost(identity)
    usable = [record for record in evaluations if record.complete and record.feasible]
    return [usable[i] for i in pareto_front([record.reward for record in usable], list(map(cost, usable)))]


def _latency(record: Costly) -> float:
    if record.latency_ms is None:
        raise StorageError("A schedule of this study has no latency, though the study minimizes it; restore the file.")
    return record.latency_ms
