"""What trials say of themselves beyond the figures in our own tables."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from optuna.storages import BaseStorage

from studies import attributes
from studies.dashboard.annotate import ARTIFACTS, our_pictures
from studies.dashboard.content import Artifact, Kind
from studies.sampler import ScheduleNSGAIISampler

__all__ = ["TrialFacts", "trial_facts"]


@dataclass(frozen=True)
class TrialFacts:
    """How a trial came about; None for what is not known of it.

    Args:
        generation: 0 for seeds.
        operator: what bred it.
        filtered: whether the surrogate chose it.
        predicted_reward: by the surrogate, before it was evaluated.
        predicted_std: standard deviation of that.
        pictures: address of its pictures in the dashboard; their ids follow.
        grid: the picture of images that an earlier call has made.
    """

    generation: int | None = None
    operator: str | None = None
    filtered: bool = False
    predicted_reward: float | None = None
    predicted_std: float | None = None
    pictures: str = ""
    grid: Artifact | None = None


def trial_facts(storage: BaseStorage, study: str, numbers: Iterable[int]) -> dict[int, TrialFacts]:
    """Facts of some trials by their number.

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
        trial = storage.get_trial(trial_id)
        said = trial.user_attrs
        found[number] = TrialFacts(
            ScheduleNSGAIISampler.generation_of(trial),
            said.get(attributes.OPERATOR),
            bool(said.get(attributes.FILTERED, False)),
            said.get(attributes.PREDICTED_REWARD),
            said.get(attributes.PREDICTED_STD),
            f"/artifacts/{study_id}/{trial_id}/",
            grids.get(trial_id),
        )
    return found
