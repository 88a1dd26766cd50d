"""Whether the records of a study can be read, and fit its identity."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecad_automl.errors import EcadError, StorageError
from ecad_automl.files.arrays import read_arrays
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule
from storage.check_rows import Rows
from storage.check_trials import Evaluated, check_generations, check_trials
from storage.findings import Finding
from storage.records import unpack_scores

__all__ = ["CheckedRecords", "check_study"]

#: Scores are kept with seven digits, their means with sixteen.
_SCORE_DIGITS = 2e-6

_UNCACHED = "uncached"


@dataclass(frozen=True)
class CheckedRecords:
    """What was found, and how much was looked at."""

    findings: list[Finding]
    trials: int = 0
    evaluations: int = 0


@dataclass(frozen=True)
class _Identity:
    """What records must fit."""

    layout: Layout
    steps: int
    images: int
    reward: str
    by_latency: bool


def check_study(rows: Rows, name: str, *, searching: bool) -> CheckedRecords:
    """Check one study.

    Args:
        rows: of the database.
        name: of the study.
        searching: whether a search is running, so that trials may be.
    """
    findings: list[Finding] = []

    def say(kind: str, text: str, trial: int | None = None) -> None:
        findings.append(Finding(kind, text, name, trial))

    trials = rows.trials(name)
    kept = rows.of("ecad_evaluations", name)
    identity = _identity(rows, name)
    if isinstance(identity, str):
        say("study", f"The identity of the study {name!r} is damaged: {identity}.")
        return CheckedRecords(findings, len(trials), len(kept))
    baselines = {str(row["name"]): row for row in rows.of("ecad_baselines", name)}
    uncached = _scores(baselines.get(_UNCACHED), identity.reward)
    if kept and _UNCACHED not in baselines:
        say("baseline", f"The study {name!r} has evaluations, but no uncached run.")
    for label, row in baselines.items():
        for text in _run_faults(row, identity, uncached):
            say("baseline", f"The run {label!r} of the study {name!r} {text}.")
    evaluated: dict[str, Evaluated] = {}
    for row in kept:
        where = f"The evaluation {str(row['genome'])[:16]!r} (trial {row['trial']}) of the study {name!r}"
        schedule = _schedule(row["genome"], identity)
        if isinstance(schedule, str):
            say("evaluation", f"{where} {schedule}.", row["trial"])
            continue
        for text in [*_run_faults(row, identity, uncached), *_cost_faults(row, schedule)]:
            say("evaluation", f"{where} {text}.", row["trial"])
        evaluated[row["genome"]] = Evaluated(row, schedule, identity.by_latency)
    findings += check_trials(rows, name, trials, evaluated, searching=searching)
    findings += check_generations(name, trials, rows.of("ecad_generations", name))
    for text in _calibration_faults(rows, name, identity):
        say("calibration", text)
    for row in rows.of("ecad_confirmations", name) if rows.has("ecad_confirmations") else []:
        for text in _confirmation_faults(row, identity):
            say("confirmation", f"The confirmation {str(row['run'])[:16]!r} of the study {name!r} {text}.")
    return CheckedRecords(findings, len(trials), len(kept))


def _identity(rows: Rows, name: str) -> _Identity | str:
    """What the study depends on, or what is wrong with it."""
    try:
        data = json.loads(rows.of("ecad_studies", name)[0]["identity"])
        layout = Layout.from_dict(data["layout"])
        steps = int(data["generation"]["steps"])
        images = len(data["prompts"]) * len(data["seeds"])
        found = _Identity(layout, steps, images, str(data["reward"]), "cost" in data)
    except (EcadError, ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError) as error:
        return f"{type(error).__name__}: {error}".rstrip(".")
    return found if steps >= 1 and images >= 1 else f"it has {steps} steps and {images} images a schedule"


def _schedule(genome: object, identity: _Identity) -> Schedule | str:
    try:
        schedule = Schedule.from_hex(identity.layout, identity.steps, str(genome))
    except EcadError as error:
        return f"has no genome of the study's slots and steps ({str(error).rstrip('.')})"
    if schedule.to_hex() != genome:
        return "has a genome that is not that of its effective bits"
    return schedule


def _scores(row: Mapping[str, Any] | None, metric: str) -> NDArray[np.float32] | None:
    if row is None:
        return None
    try:
        return unpack_scores(row["scores"]).get(metric)
    except StorageError:
        return None


def _run_faults(row: Mapping[str, Any], identity: _Identity, uncached: NDArray[np.float32] | None) -> Iterator[str]:
    """What is wrong with the figures and scores of a run."""
    yield from _number_faults(row, ("gmacs", "reward", "reward_drop", "seconds"))
    if row.get("latency_ms") is None and identity.by_latency:
        yield "has no latency, though the study minimizes it"
    try:
        scores = unpack_scores(row["scores"])
    except StorageError as error:
        yield f"has scores that are damaged ({str(error).rstrip('.')})"
        return
    if identity.reward not in scores:
        yield f"has no scores of the reward {identity.reward!r}"
        return
    whole = bool(row.get("complete", True))
    for metric, values in scores.items():
        # Earlier versions kept the first seeds alone of a candidate that was stopped.
        if len(values) != identity.images and (whole or identity.images % max(len(values), 1)):
            yield f"has {len(values)} scores of {metric!r} for {identity.images} images"
        elif np.isnan(values).all() or (whole and np.isnan(values).any()):
            yield f"has a score of {metric!r} that is no number"
    values = scores[identity.reward]
    if not np.isfinite(values[~np.isnan(values)]).all():
        yield f"has a reward of {identity.reward!r} that is not finite"
    elif whole and len(values) == identity.images and np.isfinite(values).all():
        yield from _mean_faults(row, values, uncached)


def _mean_faults(
    row: Mapping[str, Any], values: NDArray[np.float32], uncached: NDArray[np.float32] | None
) -> Iterator[str]:
    mean = float(values.mean(dtype=np.float64))
    room = _SCORE_DIGITS * max(1.0, float(np.abs(values).max()))
    if isinstance(row["reward"], float) and abs(row["reward"] - mean) > room:
        yield f"has the reward {row['reward']:.6g}, but the mean of its scores is {mean:.6g}"
    if uncached is None or len(uncached) != len(values) or not isinstance(row["reward_drop"], float):
        return
    drop = float((uncached.astype(np.float64) - values).mean())
    if abs(row["reward_drop"] - drop) > 2 * max(room, _SCORE_DIGITS * float(np.abs(uncached).max())):
        yield f"has the drop {row['reward_drop']:.6g}, but by its scores and the uncached ones it is {drop:.6g}"


def _number_faults(row: Mapping[str, Any], names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        value = row.get(name)
        if not isinstance(value, int | float) or not np.isfinite(value):
            yield f"has {value!r:.40} for {name!r}, where a finite number is needed"


def _cost_faults(row: Mapping[str, Any], schedule: Schedule) -> Iterator[str]:
    if isinstance(row["gmacs"], float) and abs(row["gmacs"] - schedule.gmacs) > 1e-9 * max(1.0, schedule.gmacs):
        yield f"has {row['gmacs']:.9g} GMACs, but its schedule has {schedule.gmacs:.9g}"


def _calibration_faults(rows: Rows, name: str, identity: _Identity) -> Iterator[str]:
    for row in rows.of("ecad_calibration", name):
        if row["name"] != "drift":
            continue
        try:
            arrays = read_arrays(row["data"])
            slots = tuple(map(str, arrays["slots"]))
            shape = arrays["distance"].shape
        except (ValueError, KeyError, TypeError) as error:
            yield f"The drift of the study {name!r} cannot be read ({error})."
            continue
        size = len(identity.layout)
        if slots != tuple(slot.name for slot in identity.layout.slots) or shape != (
            size,
            identity.steps,
            identity.steps,
        ):
            yield f"The drift of the study {name!r} is not of its {size} slots and {identity.steps} steps."


def _confirmation_faults(row: Mapping[str, Any], identity: _Identity) -> Iterator[str]:
    yield from _number_faults(row, ("gmacs", "seconds", "prompts", "seeds", "steps"))
    try:
        scores = unpack_scores(row["scores"])
    except StorageError as error:
        yield f"has scores that are damaged ({str(error).rstrip('.')})"
        return
    if identity.reward not in scores:
        yield f"has no scores of the reward {identity.reward!r}"
    for metric, values in scores.items():
        if isinstance(row["prompts"], int) and isinstance(row["seeds"], int):
            images = row["prompts"] * row["seeds"]
            if len(values) != images:
                yield f"has {len(values)} scores of {metric!r} for {images} images"
        if np.isnan(values).any():
            yield f"has a score of {metric!r} that is no number"
