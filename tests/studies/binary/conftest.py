"""Two objectives over 20 bits whose evaluation takes no time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
import pytest

from studies.binary import PackedBinarySampler, suggest_bits

BITS = 20
#: No two sums are alike: Optuna's selection breaks ties by position.
WEIGHTS = np.random.default_rng(0).uniform(1, 50, BITS)
PROFITS = np.random.default_rng(1).integers(1, 50, BITS)


def profit(bits: np.ndarray) -> float:
    """Not a sum: neighbors that are both taken bring more."""
    return float(PROFITS[bits].sum() + 20 * (bits[1:] & bits[:-1]).sum())


def weight(bits: np.ndarray) -> float:
    return float(WEIGHTS[bits].sum())


def objective(trial: optuna.Trial) -> tuple[float, float]:
    bits = suggest_bits(trial)
    return profit(bits), weight(bits)


def genomes(study: optuna.Study) -> list[str]:
    return [trial.user_attrs["genome"] for trial in study.trials]


def sampler(**settings: Any) -> PackedBinarySampler:
    return PackedBinarySampler(BITS, **{"seed": 0, "initial": 14, "offspring": 6, "pool": 60, "rounds": 2, **settings})


@pytest.fixture
def search() -> Callable[..., optuna.Study]:
    def run(trials: int = 38, study: optuna.Study | None = None, **settings: Any) -> optuna.Study:
        if study is None:
            study = optuna.create_study(directions=["maximize", "minimize"])
        study.sampler = sampler(**settings)
        study.optimize(objective, n_trials=trials)
        return study

    return run


@pytest.fixture(autouse=True)
def quiet() -> Any:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(before)
