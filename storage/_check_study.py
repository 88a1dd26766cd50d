"""Whether what is kept of a study belongs together, is all there, and says the same."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecad_automl.errors import EcadError, StorageError
from ecad_automl.schedules.genomes import Genomes, write_genome
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule
from storage._check_rows import Finding, Rows, TrialRow
from storage.records import DRIFT, drift_of, unpack_scores

#: The attributes that are looked at, under the names that a search gives them.
ATTRIBUTES = {
    "genome": "genome",
    "expected": "expected_values",
    "speedup": "mac_speedup",
    "fraction": "mac_fraction",
    "difference": "reward_difference",
    "feasible": "feasible",
}

_UNCACHED = "uncached"
_EVALUATED = ("COMPLETE", "PRUNED")
#: Scores are kept with seven digits, their means with sixteen.
_SCORE_DIGITS = 2e-6


@dataclass(frozen=True)
class CheckedStudy:
    """What was looked at of one study.

    Attributes:
        name: of the study.
        trials: how many it has.
        evaluations: how many schedules were evaluated.
    """

    name: str
    trials: int
    evaluations: int


@dataclass(frozen=True)
class _Identity:
    """What records must fit."""

    genomes: Genomes
    images: int
    reward: str
    by_latency: bool


@dataclass(frozen=True)
class _Evaluated:
    """A record whose genome is sound."""

    row: Mapping[str, Any]
    schedule: Schedule
    values: tuple[Any, Any]  # that Optuna was told
    mac_fraction: float  # of the uncached run


def check_study(rows: Rows, name: str) -> tuple[CheckedStudy, list[Finding]]:
    """Check one study: what was looked at, and what is wrong."""
    findings: list[Finding] = []

    def say(kind: str, text: str, trial: int | None = None) -> None:
        findings.append(Finding(kind, text, name, trial))

    trials, kept = rows.trials(name), rows.of("ecad_evaluations", name)
    checked = CheckedStudy(name, len(trials), len(kept))
    identity = _identity(rows, name)
    if isinstance(identity, str):
        say("study", f"The identity of the study {name!r} is damaged: {identity}.")
        return checked, findings
    baselines = {str(row["name"]): row for row in rows.of("ecad_baselines", name)}
    uncached = _scores(baselines.get(_UNCACHED, {}), identity.reward)
    if kept and _UNCACHED not in baselines:
        say("baseline", f"The study {name!r} has evaluations, but no uncached run.")
    for label, row in baselines.items():
        for text in _run_faults(row, identity, uncached):
            say("baseline", f"The run {label!r} of the study {name!r} {text}.")
    for row in rows.of("ecad_confirmations", name) if "ecad_confirmations" in rows.names() else []:
        counts = [row["prompts"], row["seeds"]]
        images = math.prod(counts) if all(map(_is_number, counts)) else 0
        for text in _score_faults(row, identity.reward, images):
            say("confirmation", f"The confirmation {str(row['run'])[:16]!r} of the study {name!r} {text}.")
    by_number = {trial.number: trial for trial in trials}
    evaluated: dict[str, _Evaluated] = {}
    for row in kept:
        where = f"The evaluation {str(row['genome'])[:16]!r} (trial {row['trial']}) of the study {name!r}"
        schedule = _schedule(row["genome"], identity)
        if isinstance(schedule, str):
            say("evaluation", f"{where} {schedule}.", row["trial"])
            continue
        faults = list(_run_faults(row, identity, uncached))
        if _is_number(row["gmacs"]) and not _close(row["gmacs"], schedule.gmacs, 1e-9):
            faults.append(f"has {row['gmacs']:.9g} GMACs, but its schedule has {schedule.gmacs:.9g}")
        if row["trial"] is not None:  # else of the calibration
            trial = by_number.get(row["trial"])
            if trial is None:
                faults.append(f"is kept for trial {row['trial']}, but there is no such trial")
            elif trial.attributes.get(ATTRIBUTES["genome"]) != row["genome"]:
                faults.append(f"is kept for trial {row['trial']}, but that trial has another genome")
        for text in faults:
            say("evaluation", f"{where} {text}.", row["trial"])
        cost = row["latency_ms"] if identity.by_latency else schedule.gmacs
        evaluated[row["genome"]] = _Evaluated(
            row, schedule, (row["reward"], cost), schedule.mac_fraction_of(identity.genomes.steps)
        )
    if kept and name not in rows.optuna_studies():
        say("study", f"Optuna's tables have no study {name!r}, of which there are evaluations.")
    for trial in trials:
        for text in _trial_faults(trial, evaluated):
            say("trial", f"Trial {trial.number} of the study {name!r} {text}.", trial.number)
    for generation in _missing_generations(trials, rows.of("ecad_generations", name)):
        say("generation", f"Generation {generation} of the study {name!r} is over, but has no figures.")
    return checked, findings


def _identity(rows: Rows, name: str) -> _Identity | str:
    """What the study depends on, or what is wrong with it."""
    try:
        data = json.loads(rows.of("ecad_studies", name)[0]["identity"])
        layout = Layout.from_dict(data["layout"])
        steps = int(data["generation"]["steps"])
        images = len(data["prompts"]) * len(data["seeds"])
        kept = {row["name"]: bytes(row["data"]) for row in rows.of("ecad_calibration", name)}
        rows_fitted = rows.of("ecad_evaluations", name)
        fitted = {str(row["genome"]): str(row["fitted"]) for row in rows_fitted if row.get("fitted")}
        genomes = Genomes(
            layout, steps, lambda: kept.get(DRIFT), lambda count: kept.get(drift_of(count)), fitted=fitted
        )
        found = _Identity(genomes, images, str(data["reward"]), "cost" in data)
    except (EcadError, ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError) as error:
        return f"{type(error).__name__}: {error}".rstrip(".")
    return found if steps >= 1 and images >= 1 else f"it has {steps} steps and {images} images a schedule"


def _schedule(genome: object, identity: _Identity) -> Schedule | str:
    try:
        schedule = identity.genomes.schedule(str(genome))
    except EcadError as error:
        return f"has no genome of the study's slots and steps ({str(error).rstrip('.')})"
    return (
        schedule
        if write_genome(schedule, identity.genomes.steps) == genome
        else "has a genome that is not that of its effect"
    )


# Scores


def _scores(row: Mapping[str, Any], metric: str) -> NDArray[np.float32] | None:
    try:
        return unpack_scores(row.get("scores")).get(metric)
    except StorageError:
        return None


def _score_faults(row: Mapping[str, Any], reward: str, images: int) -> Iterator[str]:
    """Scores that are missing."""
    try:
        scores = unpack_scores(row["scores"])
    except StorageError as error:
        yield f"has scores that are damaged ({str(error).rstrip('.')})"
        return
    if reward not in scores:
        yield f"has no scores of the reward {reward!r}"
    whole = bool(row.get("complete", True))
    for metric, values in scores.items():
        # Earlier versions kept the first seeds alone of a candidate that was stopped.
        if len(values) != images and (whole or images % max(len(values), 1)):
            yield f"has {len(values)} scores of {metric!r} for {images} images"
        elif np.isnan(values).all() or (whole and np.isnan(values).any()):
            yield f"has a score of {metric!r} that is no number"


def _run_faults(row: Mapping[str, Any], identity: _Identity, uncached: NDArray[np.float32] | None) -> Iterator[str]:
    """What is wrong with the figures and scores of a run."""
    for name in ("gmacs", "reward", "reward_drop", "seconds"):
        if not _is_number(row[name]):
            yield f"has {row[name]!r:.40} for {name!r}, where a finite number is needed"
    yield from _score_faults(row, identity.reward, identity.images)
    values = _scores(row, identity.reward)
    if values is None or not bool(row.get("complete", True)) or len(values) != identity.images:
        return
    if not np.isfinite(values).all():
        return
    mean = float(values.mean(dtype=np.float64))
    room = _SCORE_DIGITS * max(1.0, float(np.abs(values).max()))
    if _is_number(row["reward"]) and abs(row["reward"] - mean) > room:
        yield f"has the reward {row['reward']:.6g}, but the mean of its scores is {mean:.6g}"
    if uncached is None or len(uncached) != len(values) or not _is_number(row["reward_drop"]):
        return
    drop = float((uncached.astype(np.float64) - values).mean())
    if abs(row["reward_drop"] - drop) > 2 * max(room, _SCORE_DIGITS * float(np.abs(uncached).max())):
        yield f"has the drop {row['reward_drop']:.6g}, but by its scores and the uncached ones it is {drop:.6g}"


# Trials


def _trial_faults(trial: TrialRow, evaluated: Mapping[str, _Evaluated]) -> Iterator[str]:
    """What a trial says otherwise than the evaluation of its genome."""
    for key, value in trial.attributes.items():
        if value is None and key in ATTRIBUTES.values():
            yield f"has an attribute {key!r:.60} that cannot be read"
    if trial.state not in _EVALUATED:
        return
    genome = trial.attributes.get(ATTRIBUTES["genome"])
    if not isinstance(genome, str):
        yield f"is {trial.state}, but has no genome"
        return
    found = evaluated.get(genome)
    if found is None:
        yield f"is {trial.state}, but no sound evaluation of its genome is kept"
        return
    if bool(found.row["complete"]) != (trial.state == "COMPLETE"):
        part = "whole" if found.row["complete"] else "that of a part of the images"
        yield f"is {trial.state}, but its evaluation is {part}"
        return
    told: Mapping[int, Any] = trial.values
    if trial.state == "PRUNED":
        # Earlier versions stopped none.
        expected = trial.attributes.get(ATTRIBUTES["expected"], list(found.values))
        told = dict(enumerate(expected)) if isinstance(expected, list) else {}
    for index, what in enumerate(("reward", "cost")):
        if not _close(told.get(index), found.values[index], 1e-9):
            yield f"has the {what} {told.get(index)!r:.40}, but its evaluation has {found.values[index]!r:.40}"
    drop = found.row["reward_drop"]
    for name, value, room in (
        ("speedup", 1 / found.mac_fraction, 1e-3),
        ("fraction", found.mac_fraction, 1e-5),
        ("difference", -drop if _is_number(drop) else None, 1e-9),
        ("feasible", found.row.get("feasible", 1), 0.0),
    ):
        said = trial.attributes.get(ATTRIBUTES[name])  # earlier versions did not write all of them
        if said is not None and value is not None and not _close(said, value, room):
            yield f"has {said!r:.40} for {ATTRIBUTES[name]!r}, but by its evaluation it is {value:.6g}"


def _missing_generations(trials: Sequence[TrialRow], kept: Sequence[Mapping[str, Any]]) -> list[int]:
    """Generations that are over, but whose figures were not kept."""
    last = max((trial.generation for trial in trials if trial.state in _EVALUATED), default=0)
    return sorted(set(range(last)) - {row["generation"] for row in kept})


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and bool(np.isfinite(value))


def _close(value: object, expected: object, room: float) -> bool:
    if not isinstance(value, int | float) or not isinstance(expected, int | float):
        return False
    return abs(value - expected) <= room * max(1.0, abs(expected))
