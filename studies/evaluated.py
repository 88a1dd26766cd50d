"""What evaluated schedules cost in the terms of their study, and which of them no other one beats."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any, Protocol

from ecad_automl.errors import StorageError
from storage import EvaluationRecord
from surrogate.pareto import pareto_front


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
