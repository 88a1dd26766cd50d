"""Evaluated schedules as files, with what was measured under them."""

from __future__ import annotations

import re
from pathlib import Path

from ecad_automl.api.stored import StoredStudy
from ecad_automl.judging.statistics import prompt_interval
from ecad_automl.models.generation import GenerationSettings
from ecad_automl.schedules.schedule_file import Measured, ScheduleMetadata, save_schedule, software_versions
from storage import EvaluationRecord
from studies.confirmation import Verdict

__all__ = ["export_record", "file_name_of"]


def export_record(study: StoredStudy, record: EvaluationRecord, folder: Path, verdict: Verdict | None = None) -> Path:
    """Write one evaluated schedule with its measurements.

    Args:
        study: it is of.
        record: its evaluation in the search.
        folder: where the file goes.
        verdict: what unseen prompts say of it.

    Returns:
        The file, named after study and speedup in what the study minimizes, such as ``shapes-2.13x-trial41.json``.
    """
    suffix = f"trial{record.trial}" if record.trial is not None else record.origin
    path = folder / f"{file_name_of(study.name)}-{study.speedup(record):.2f}x-{suffix}.json"
    identity, generation = study.identity, study.identity["generation"]
    images = len(identity["prompts"]) * len(identity["seeds"])
    half = None if record.reward_drop_se is None else 1.96 * record.reward_drop_se
    difference = 0.0 - record.reward_drop  # not -0.0
    metadata = ScheduleMetadata(
        name=path.stem,
        model=identity["model"],
        revision=identity["revision"],
        scheduler=identity["scheduler"],
        scheduler_config=identity["scheduler_config"],
        height=generation["height"],
        width=generation["width"],
        guidance_scale=generation["guidance_scale"],
        dtype=identity["dtype"],
        call=GenerationSettings(**generation).call_arguments(),
        reward=identity["reward"],
        objectives={
            "reward": Measured(value=record.reward, samples=images),
            "reward_difference": Measured(
                value=difference,
                low=None if half is None else difference - half,
                high=None if half is None else difference + half,
                confidence=None if half is None else 0.95,
                samples=images,
            ),
            "gmacs": Measured(value=record.gmacs, unit="GMAC"),
            "mac_speedup": Measured(value=study.uncached.gmacs / record.gmacs),
            **_latency(study, record),
            **_confirmed(verdict),
        },
        study=study.name,
        trial=record.trial,
        origin=record.origin,
        versions=software_versions(),
        created=record.created,
        survives=None if verdict is None else verdict.survives,
    )
    folder.mkdir(parents=True, exist_ok=True)
    save_schedule(path, study.schedule(record), metadata)
    return path


def file_name_of(study: str) -> str:
    """The name of a study as part of a file name: it may hold what separates folders, or leads out of them."""
    return re.sub(r"[^\w.+-]+", "-", study).strip("-.") or "study"


def _latency(study: StoredStudy, record: EvaluationRecord) -> dict[str, Measured]:
    """What the study's latency model predicts; nothing where the study minimizes MACs."""
    if record.latency_ms is None:
        return {}
    return {
        "latency_ms": Measured(value=record.latency_ms, unit="ms"),
        "latency_speedup": Measured(value=study.speedup(record)),
    }


def _confirmed(verdict: Verdict | None) -> dict[str, Measured]:
    """The figures on unseen prompts; nothing where there are none."""
    if verdict is None:
        return {}
    reward, difference, samples = prompt_interval(verdict.run.scores), verdict.difference, verdict.run.scores.size
    return {
        name: Measured(
            value=interval.mean, low=interval.low, high=interval.high, confidence=interval.confidence, samples=samples
        )
        for name, interval in (("confirmed_reward", reward), ("confirmed_reward_difference", difference))
    }
