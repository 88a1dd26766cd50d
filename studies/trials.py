"""Reading what a search has written into its trials."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule
from studies import attributes

__all__ = [
    "EVALUATED",
    "constrained",
    "earlier_than",
    "evaluated_trials",
    "image_share",
    "is_feasible",
    "schedule_of",
    "values_of",
]

#: Trials with a reward: pruned ones are candidates whose evaluation was stopped after part of the images.
EVALUATED = (TrialState.COMPLETE, TrialState.PRUNED)


def evaluated_trials(study: Study) -> list[FrozenTrial]:
    """The trials that have a reward, oldest first."""
    return study.get_trials(deepcopy=False, states=EVALUATED)


def earlier_than(
    generation: int, trials: Iterable[FrozenTrial], generation_of: Callable[[FrozenTrial], int]
) -> list[FrozenTrial]:
    """What a generation is learned from, ordered by generation and genome: it must not matter when trials were made."""
    earlier = [trial for trial in trials if generation_of(trial) < generation]
    return sorted(earlier, key=lambda trial: (generation_of(trial), str(trial.user_attrs[attributes.GENOME])))


def values_of(trial: FrozenTrial) -> tuple[float, float]:
    """Reward and cost of an evaluated trial; where its evaluation was stopped, the reward is what is to be expected."""
    values = trial.user_attrs[attributes.EXPECTED_VALUES] if trial.state is TrialState.PRUNED else trial.values
    return float(values[0]), float(values[1])


def image_share(trial: FrozenTrial) -> float:
    """The share of images that the reward of an evaluated trial comes from."""
    return float(trial.user_attrs.get(attributes.IMAGE_SHARE, 1.0))


def schedule_of(trial: FrozenTrial, layout: Layout, steps: int) -> Schedule:
    """The schedule of a trial's genome."""
    return Schedule.from_hex(layout, steps, trial.user_attrs[attributes.GENOME])


def is_feasible(trial: FrozenTrial) -> bool:
    """Whether a whole evaluation meets the constraints of the study."""
    return bool(trial.user_attrs.get(attributes.FEASIBLE, True))


def constrained(trial: FrozenTrial, metric: str) -> float:
    """The mean of a constrained metric; NaN for a trial that was stopped."""
    return float(trial.user_attrs.get(attributes.CONSTRAINED, {}).get(metric, float("nan")))
