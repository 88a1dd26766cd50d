"""Whether Optuna's trials and our records of a study say the same."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ecad_automl.errors import StorageError
from ecad_automl.schedules.schedule import Schedule
from storage.check_rows import Rows, TrialRow
from storage.findings import Finding
from storage.records import unpack_scores

__all__ = ["ATTRIBUTES", "Evaluated", "check_generations", "check_trials"]

#: The attributes that are looked at, under the names that a search gives them.
ATTRIBUTES = {
    "genome": "genome",
    "expected": "expected_values",
    "share": "image_share",
    "generation": "generation",
    "speedup": "mac_speedup",
    "fraction": "mac_fraction",
    "difference": "reward_difference",
    "feasible": "feasible",
    "constrained": "constrained",
}

_EVALUATED = ("COMPLETE", "PRUNED")
_DIRECTIONS = ["MAXIMIZE", "MINIMIZE"]


@dataclass(frozen=True)
class Evaluated:
    """A record whose genome is sound.

    Args:
        row: of the record.
        schedule: of its genome.
        by_latency: whether the study minimizes latency.
    """

    row: Mapping[str, Any]
    schedule: Schedule
    by_latency: bool

    @property
    def values(self) -> tuple[Any, Any]:
        """What Optuna was told."""
        return self.row["reward"], self.row["latency_ms"] if self.by_latency else self.schedule.gmacs


def check_trials(
    rows: Rows, name: str, trials: Sequence[TrialRow], evaluated: Mapping[str, Evaluated], *, searching: bool
) -> Iterator[Finding]:
    """Compare the trials of a study with its evaluations.

    Args:
        rows: of the database.
        name: of the study.
        trials: of Optuna's study.
        evaluated: sound records by genome.
        searching: whether a search is running.
    """
    directions = rows.directions(name)
    if directions is None:
        if evaluated:
            yield Finding("study", f"Optuna's tables have no study {name!r}, of which there are evaluations.", name)
        return
    if directions != _DIRECTIONS:
        told = ", ".join(directions) or "nothing"
        yield Finding("study", f"Optuna's study {name!r} does {told}, where MAXIMIZE, MINIMIZE is expected.", name)
    by_number = {trial.number: trial for trial in trials}
    first: dict[str, int] = {}
    for trial in trials:
        where = f"Trial {trial.number} of the study {name!r}"
        for text in _trial_faults(trial, evaluated, first, searching=searching):
            yield Finding("trial", f"{where} {text}.", name, trial.number)
    for genome, found in evaluated.items():
        number = found.row["trial"]
        if number is None:  # of the calibration
            continue
        trial_of = by_number.get(number)
        if trial_of is None or trial_of.attributes.get(ATTRIBUTES["genome"]) != genome:
            what = "there is no such trial" if trial_of is None else "that trial has another genome"
            text = f"The evaluation {genome[:16]!r} of the study {name!r} is kept for trial {number}, but {what}."
            yield Finding("evaluation", text, name, number)


def check_generations(
    name: str, trials: Sequence[TrialRow], generations: Sequence[Mapping[str, Any]]
) -> Iterator[Finding]:
    """Check that every generation that is over has its figures, and that these are numbers."""
    reached = {trial.generation or 0 for trial in trials if trial.state in _EVALUATED}
    known = {row["generation"] for row in generations}
    for generation in sorted(set(range(max(reached, default=0))) - known):
        yield Finding("generation", f"Generation {generation} of the study {name!r} is over, but has no figures.", name)
    for row in generations:
        for column in ("hypervolume", "rank_correlation", "coverage"):
            value = row[column]
            if value is not None and not (isinstance(value, int | float) and math.isfinite(value)):
                text = f"Generation {row['generation']} of the study {name!r} has {value!r:.40} for {column!r}."
                yield Finding("generation", text, name)


def _trial_faults(
    trial: TrialRow, evaluated: Mapping[str, Evaluated], first: dict[str, int], *, searching: bool
) -> Iterator[str]:
    for key in trial.faults:
        yield f"has an attribute {key!r:.60} that is no JSON"
    if trial.state == "RUNNING" and not searching:
        yield "is RUNNING, but no search is; the next one with the same command takes it up"
    if trial.state not in _EVALUATED:
        return
    genome = trial.attributes.get(ATTRIBUTES["genome"])
    if not isinstance(genome, str):
        yield f"is {trial.state}, but has no genome"
        return
    if (other := first.setdefault(genome, trial.number)) != trial.number:
        yield f"evaluated the same schedule as trial {other}"
        return
    found = evaluated.get(genome)
    if found is None:
        yield f"is {trial.state}, but no sound evaluation of its genome is kept"
        return
    whole = bool(found.row["complete"])
    if whole != (trial.state == "COMPLETE"):
        yield f"is {trial.state}, but its evaluation is {'whole' if whole else 'that of a part of the images'}"
        return
    yield from _value_faults(trial, found)
    yield from _attribute_faults(trial, found)
    yield from _constraint_faults(trial, found)


def _value_faults(trial: TrialRow, found: Evaluated) -> Iterator[str]:
    told: Any = trial.values
    if trial.state == "PRUNED":
        if ATTRIBUTES["expected"] not in trial.attributes:  # earlier versions stopped none
            return
        kept = trial.attributes[ATTRIBUTES["expected"]]
        told = dict(enumerate(kept)) if isinstance(kept, list) else {}
    for index, (what, expected) in enumerate(zip(("reward", "cost"), found.values, strict=True)):
        if not _close(told.get(index), expected, 1e-9):
            yield f"has the {what} {told.get(index)!r:.40}, but its evaluation has {expected!r:.40}"


def _attribute_faults(trial: TrialRow, found: Evaluated) -> Iterator[str]:
    """Attributes that say what the record or the sampler say too; ones that earlier versions did not write may lack."""
    schedule, row = found.schedule, found.row
    expected = {
        "speedup": (schedule.mac_speedup, 1e-3),
        "fraction": (schedule.mac_fraction, 1e-5),
        "difference": (-row["reward_drop"] if isinstance(row["reward_drop"], float) else None, 1e-9),
        "generation": (trial.generation or 0, 0.0),
    }
    for name, (value, room) in expected.items():
        key = ATTRIBUTES[name]
        if value is not None and key in trial.attributes and not _close(trial.attributes[key], value, room):
            yield f"has {trial.attributes[key]!r:.40} for {key!r}, but by its evaluation it is {value:.6g}"
    key = ATTRIBUTES["feasible"]
    if key in trial.attributes and bool(row.get("feasible", True)) != trial.attributes[key]:
        yield f"has {trial.attributes[key]!r:.40} for {key!r}, which its evaluation denies"


def _constraint_faults(trial: TrialRow, found: Evaluated) -> Iterator[str]:
    """What constraints are about, by the scores of the record, and what Optuna was told of them."""
    said = trial.attributes.get(ATTRIBUTES["constrained"], {})
    if not isinstance(said, dict):
        yield f"has {said!r:.40} for {ATTRIBUTES['constrained']!r}, where means by metric are expected"
        return
    try:
        scores = unpack_scores(found.row["scores"])
    except StorageError:  # a finding of the evaluation
        return
    for metric, mean in said.items():
        if metric not in scores:
            yield f"has a mean of {metric!r:.60}, of which its evaluation has no scores"
            continue
        kept = float(scores[metric].mean(dtype=np.float64))
        if not _close(mean, kept, 2e-6):
            yield f"has the mean {mean!r:.40} of {metric!r:.60}, but by its evaluation it is {kept:.6g}"
    key = ATTRIBUTES["feasible"]
    if trial.constraints and key in trial.attributes:
        met = all(isinstance(value, int | float) and value <= 0 for value in trial.constraints.values())
        if met != trial.attributes[key]:
            yield f"has {trial.attributes[key]!r:.40} for {key!r}, which its constraints deny"


def _close(value: object, expected: object, room: float) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isinstance(expected, int | float):
        return False
    return abs(value - expected) <= room * max(1.0, abs(expected))
