"""Reading what a search has written into its trials."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from studies import attributes

#: Trials with a reward: pruned ones are candidates whose evaluation was stopped after part of the images.
EVALUATED = (TrialState.COMPLETE, TrialState.PRUNED)


def evaluated_trials(study: Study) -> list[FrozenTrial]:
    """The trials that have a reward, oldest first."""
    return study.get_trials(deepcopy=False, states=EVALUATED)


def values_of(trial: FrozenTrial) -> tuple[float, float]:
    """Reward and cost of an evaluated trial; where its evaluation was stopped, the reward is what is to be expected."""
    values = trial.user_attrs[attributes.EXPECTED_VALUES] if trial.state is TrialState.PRUNED else trial.values
    return float(values[0]), float(values[1])


def image_share(trial: FrozenTrial) -> float:
    """The share of images that the reward of an evaluated trial comes from."""
    return float(trial.user_attrs.get(attributes.IMAGE_SHARE, 1.0))


def budget_share(trial: FrozenTrial, share: float | None = None) -> float:
    """The share of images that counts against the budget: none of those that the calibration makes anyhow.

    Args:
        trial: it.
        share: of images that were made; :func:`image_share` if None.
    """
    if trial.user_attrs.get(attributes.CALIBRATED):
        return 0.0
    return image_share(trial) if share is None else share


def predictions_of(trials: Iterable[FrozenTrial]) -> NDArray[np.float64]:
    """``(n, 2)``: what was predicted of trials, reward and its standard deviation; NaN where nothing was."""
    names = (attributes.PREDICTED_REWARD, attributes.PREDICTED_STD)
    rows = [[trial.user_attrs.get(name) for name in names] for trial in trials]
    return np.array(rows, dtype=np.float64).reshape(-1, 2)


def is_feasible(trial: FrozenTrial) -> bool:
    """Whether a whole evaluation meets the constraints of the study."""
    return bool(trial.user_attrs.get(attributes.FEASIBLE, True))
