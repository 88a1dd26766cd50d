"""What Optuna's tables say of trials beyond our own; read without Optuna."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from storage import Store

__all__ = ["TrialNote", "read_trial_notes"]

_OPERATOR = "operator"
#: The sampler's class name stands before the colon.
_GENERATION = "%:generation"


@dataclass(frozen=True)
class TrialNote:
    """How a trial was bred; None for what is not known of it."""

    operator: str | None = None
    generation: int | None = None


def read_trial_notes(storage: str | Path, study: str) -> dict[int, TrialNote]:
    """Notes by the number of the trial; those of no trial where there is no such Optuna study.

    Raises:
        StorageError: the database cannot be read.
    """
    with Store.open(storage, read_only=True) as store:
        operators = store.trial_attributes(study, _OPERATOR)
        generations = store.trial_attributes(study, _GENERATION, system=True)
    return {
        number: TrialNote(_text(operators.get(number)), _number(generations.get(number)))
        for number in operators.keys() | generations.keys()
    }


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None
