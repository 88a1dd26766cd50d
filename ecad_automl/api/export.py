"""Evaluated schedules as files, with what was measured under them."""

from __future__ import annotations

from pathlib import Path

from ecad_automl.errors import StudyError
from ecad_automl.schedules.schedule_file import Measured, ScheduleMetadata, save_schedule, software_versions
from ecad_automl.views.run import Confirmed, RunView
from ecad_automl.views.study import StudyView

_CONFIDENCE = 0.95


def export_run(study: StudyView, run: RunView, folder: Path) -> Path:
    """Write one evaluated schedule with its measurements, confirmed ones included.

    Args:
        study: it is of.
        run: the schedule as the search scored it.
        folder: where the file goes.

    Returns:
        The file, named after study and speedup in what the study minimizes, such as ``shapes-2.13x-trial41.json``.

    Raises:
        StudyError: its evaluation was stopped after part of the images.
    """
    if not run.complete:
        raise StudyError(
            f"The {run.label} of the study {study.name!r} was stopped after part of its images, so its figures are "
            "what was to be expected and were not measured; export one that was evaluated whole."
        )
    path = folder / f"{study.file_name(run)}.json"
    identity, generation = study.identity, study.identity["generation"]
    images = len(identity["prompts"]) * len(identity["seeds"])
    objectives = {
        "reward": Measured(value=run.reward, samples=images),
        "reward_difference": _measured(run.difference, run.difference_interval, images),
        "gmacs": Measured(value=run.gmacs, unit="GMAC"),
        "mac_speedup": Measured(value=run.mac_speedup),
    }
    if run.latency_ms is not None:
        objectives |= {
            "latency_ms": Measured(value=run.latency_ms, unit="ms"),
            "latency_speedup": Measured(value=run.speedup),
        }
    metadata = ScheduleMetadata(
        name=path.stem,
        model=identity["model"],
        revision=identity["revision"],
        scheduler=identity["scheduler"],
        scheduler_config=identity["scheduler_config"],
        height=generation["height"],
        width=generation["width"],
        guidance_scale=generation["guidance_scale"],
        uncached_steps=None if run.steps == generation["steps"] else generation["steps"],
        dtype=identity["dtype"],
        call=dict(study.call),
        reward=identity["reward"],
        objectives={**objectives, **_confirmed(run.confirmed)},
        study=study.name,
        trial=run.trial,
        origin=run.origin,
        versions=software_versions(),
        created=run.created,
        survives=None if run.confirmed is None else run.confirmed.survives,
    )
    folder.mkdir(parents=True, exist_ok=True)
    save_schedule(path, study.schedule(run), metadata)
    return path


def _confirmed(found: Confirmed | None) -> dict[str, Measured]:
    """The figures on unseen prompts; nothing where there are none."""
    if found is None:
        return {}
    return {
        "confirmed_reward": _measured(found.reward, found.reward_interval, found.images),
        "confirmed_reward_difference": _measured(found.difference, found.difference_interval, found.images),
    }


def _measured(value: float, interval: tuple[float, float] | None, samples: int) -> Measured:
    if interval is None:
        return Measured(value=value, samples=samples)
    return Measured(value=value, low=interval[0], high=interval[1], confidence=_CONFIDENCE, samples=samples)
