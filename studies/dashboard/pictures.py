"""Where the pictures of trials are in the dashboard."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from optuna.storages import BaseStorage

from studies.dashboard.annotate import ARTIFACTS, our_pictures
from studies.dashboard.content import Artifact, Kind


@dataclass(frozen=True)
class TrialPictures:
    """The pictures of one trial.

    Args:
        address: of its pictures in the dashboard; their ids follow.
        grid: the picture of images that an earlier call has made; None where there is none.
    """

    address: str
    grid: Artifact | None = None


def trial_pictures(storage: BaseStorage, study: str, numbers: Iterable[int]) -> dict[int, TrialPictures]:
    """Pictures of some trials by their number.

    Raises:
        KeyError: Optuna knows no such study or trial.
    """
    study_id = storage.get_study_id_from_name(study)
    grids = {
        int(name.removeprefix(ARTIFACTS).partition(":")[0]): Artifact(meta["artifact_id"], Kind.GRID, meta["filename"])
        for name, meta in our_pictures(storage.get_study_system_attrs(study_id))
        if meta.get("kind") == Kind.GRID
    }
    found = {}
    for number in numbers:
        trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, number)
        found[number] = TrialPictures(f"/artifacts/{study_id}/{trial_id}/", grids.get(trial_id))
    return found
