from __future__ import annotations

import numpy as np
import pytest

from ecad_automl.errors import ScheduleError, StudyError
from surrogate import LogDrop, Prior, Surrogate, banded_rank_correlation
from tests.surrogate.test_model import BLOCK, MACS, SLOTS, STEPS, context, schedules


def reward(bits: np.ndarray) -> np.ndarray:
    """Drift of the first steps and of the last blocks harms most."""
    drift = context().drift
    assert drift is not None
    at = np.arange(STEPS)[None, :, None]
    last = np.maximum.accumulate(np.where(bits, at, 0), axis=1)
    harm = drift[np.arange(SLOTS)[None, None, :], at, last]
    return -np.log1p(np.einsum("nts,t,s->n", harm, np.exp(np.linspace(2, -2, STEPS)), np.exp(BLOCK / 4.0)))


def prior(count: int = 100) -> Prior:
    """Of a study whose rewards have another unit, and another level too."""
    bits = schedules(count, seed=9)
    rewards = 30.0 + 7.0 * reward(bits)
    return Prior(bits, LogDrop(30.0, 30.0 - float(rewards.min())).of(rewards))


def test_a_prior_ranks_better_than_none_while_there_are_few_evaluations() -> None:
    unseen = schedules(300, seed=2)
    cost = unseen.mean(axis=1) @ MACS

    def correlation(seed: int, known: Prior | None) -> float:
        seen = schedules(8, seed=seed)
        seen[0] = True
        mean = Surrogate(context(), prior=known).fit(seen, reward(seen)).predict(unseen).reward
        return banded_rank_correlation(mean, reward(unseen), cost, bands=12)

    known = prior()
    gained = [correlation(seed, known) - correlation(seed, None) for seed in range(10, 14)]
    assert min(gained) > 0.002


def test_an_empty_prior_changes_nothing() -> None:
    seen, unseen = schedules(20), schedules(5, seed=2)
    none = Prior(np.zeros((0, *seen.shape[1:]), dtype=np.bool_), np.empty(0))
    with_none = Surrogate(context(), prior=none).fit(seen, reward(seen)).predict(unseen).reward
    assert np.array_equal(with_none, Surrogate(context()).fit(seen, reward(seen)).predict(unseen).reward)


def test_what_does_not_belong_together_is_refused() -> None:
    bits = schedules(3)
    with pytest.raises(StudyError, match="log drops of"):
        Prior(bits, np.zeros(2))
    with pytest.raises(StudyError, match="not finite"):
        Prior(bits, np.array([0.0, np.nan, 1.0]))
    with pytest.raises(ScheduleError, match="steps"):
        Surrogate(context(), prior=Prior(bits[:, :5], np.zeros(3)))
