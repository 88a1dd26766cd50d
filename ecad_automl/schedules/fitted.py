"""Coefficients that are fitted for one schedule: what the scheduler is given at each step.

At each step the scheduler is given a sum of terms, each by its coefficient: of the output of this step, after guidance,
of those of the last eight steps before it that ran, of the latents that the scheduler now has, and of those that it had
when the last one ran. A skipped step has no output of its own, so that its first coefficient is 0. In one that runs the
others make up for what steps before have missed. Where nothing is fitted, 1 and else 0 stand for what the scheduler
is given anyhow.
"""

from __future__ import annotations

import json

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecad_automl.errors import ScheduleError

Fitted = NDArray[np.float32]

#: Steps before one that ran whose outputs are terms.
OUTPUTS = 8
#: What the coefficients are of: the output of the step, those before it, the latents, and those at the last one.
TERMS = ("output", *(f"output {back} back" for back in range(1, OUTPUTS + 1)), "latents", "latents 1 back")
_OWN = np.eye(1, len(TERMS), dtype=np.float32)[0]


def as_it_is(steps: int) -> Fitted:
    """``(steps, 11)``: the coefficients of a run in which the scheduler is given what there is."""
    return np.tile(_OWN, (steps, 1))


def is_as_it_is(row: Fitted) -> bool:
    """Whether the scheduler is given what there is: the output, or in a skipped step what stands for it."""
    return bool((row == _OWN).all())


def checked_fitted(fitted: ArrayLike, skip: NDArray[np.bool_]) -> Fitted:
    """Fitted coefficients, if they can be those of a schedule.

    Args:
        fitted: ``(steps, 11)`` numbers. A skipped step that none are fitted for has those of :func:`as_it_is`.
        skip: ``(steps,)``: where the transformer is not entered.

    Raises:
        ScheduleError: they are of another shape, not finite, or of what there is not.
    """
    try:
        found = np.array(fitted, dtype=np.float32)
    except (ValueError, TypeError, OverflowError) as error:
        raise ScheduleError(f"Fitted coefficients must be numbers: {error}.") from error
    if found.shape != (len(skip), len(TERMS)) or not np.isfinite(found).all():
        raise ScheduleError(
            f"Fitted coefficients have the shape {found.shape}, but finite numbers of the shape "
            f"{(len(skip), len(TERMS))} are needed."
        )
    told = (found != _OWN).any(axis=1)
    ran: NDArray[np.intp] = np.cumsum(~skip) - ~skip  # before each step
    outputs = ran[:, None] < 1 + np.arange(OUTPUTS)
    missing = np.column_stack([skip, outputs, ran < 1, ran < 1])
    wrong = np.argwhere(told[:, None] & missing & (found != 0))
    if len(wrong):
        step, term = wrong[0]
        raise ScheduleError(
            f"At step {step} a coefficient is fitted of {TERMS[term]!r}, but there is none at that step; leave it 0."
        )
    return found


def write_fitted(fitted: Fitted | None) -> str:
    """Fitted coefficients as JSON; empty where there are none."""
    return "" if fitted is None else json.dumps(rows_of(fitted), separators=(",", ":"))


def read_fitted(text: str, steps: int) -> Fitted:
    """Read what :func:`write_fitted` wrote of coefficients for so many steps.

    Raises:
        ScheduleError: it is none.
    """
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ScheduleError(f"The fitted coefficients {text!r:.60} are no JSON ({error}).") from error
    return of_rows(rows, steps)


def rows_of(fitted: Fitted) -> list[list[float]]:
    """Of each step that is otherwise than it is, its number and the coefficients."""
    # The shortest decimals that are read as the same float32.
    return [
        [step, *(float(str(number)) for number in fitted[step])]
        for step in np.flatnonzero((fitted != _OWN).any(axis=1)).tolist()
    ]


def of_rows(rows: object, steps: int) -> Fitted:
    """The inverse of :func:`rows_of`.

    Raises:
        ScheduleError: it is no list of such rows, or has a step twice.
    """
    found = as_it_is(steps)
    if not isinstance(rows, list):
        raise ScheduleError(
            f"it has {rows!r:.60} for 'fitted', but needs a list of steps with {len(TERMS)} coefficients each."
        )
    told = set()
    for row in rows:
        numbers = isinstance(row, list) and all(type(number) in (int, float) for number in row)
        if not numbers or len(row) != 1 + len(TERMS) or row[0] not in range(1, steps) or row[0] in told:
            raise ScheduleError(
                f"it has {row!r:.80} in 'fitted', but needs lists of the number of a step after the first, each once, "
                f"and {len(TERMS)} coefficients."
            )
        told.add(row[0])
        if not all(abs(number) < 1e38 for number in row):
            raise ScheduleError(f"it has {row!r:.80} in 'fitted', but coefficients must be finite.")
        found[int(row[0])] = row[1:]
    return found
