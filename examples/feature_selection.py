"""Which pixels does a classifier of handwritten digits need? Accuracy against the number of pixels, without diffusion.

Run: python examples/feature_selection.py
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
import optuna
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from studies.binary import PackedBinarySampler, release_stale, suggest_bits

ROWS = COLUMNS = 8


def main(arguments: Sequence[str] | None = None) -> optuna.Study:
    """Search, and print the front."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=120, help="trials that the study is to have")
    parser.add_argument("--storage", help="such as sqlite:///digits.db; the same command goes on with what is there")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    images, digits = load_digits(return_X_y=True)
    commonest = np.bincount(digits).max() / len(digits)

    def objective(trial: optuna.Trial) -> tuple[float, int]:
        pixels = suggest_bits(trial)
        if not pixels.any():
            return float(commonest), 0
        classifier = KNeighborsClassifier(3)
        return float(cross_val_score(classifier, images[:, pixels], digits, cv=3).mean()), int(pixels.sum())

    sampler = PackedBinarySampler(
        ROWS * COLUMNS,
        shape=(ROWS, COLUMNS),
        # How many pixels a genome takes is known without any classifier.
        exact={1: lambda pixels: pixels.sum(axis=1)},
        seed=options.seed,
    )
    study = optuna.create_study(
        study_name="digits",
        storage=options.storage,
        sampler=sampler,
        directions=["maximize", "minimize"],
        load_if_exists=True,
    )
    release_stale(study)
    done = sum(trial.state.is_finished() for trial in study.get_trials(deepcopy=False))
    study.optimize(objective, n_trials=max(0, options.trials - done), show_progress_bar=True)

    print("pixels  accuracy")
    for trial in sorted(study.best_trials, key=lambda trial: trial.values[1]):
        print(f"{trial.values[1]:6.0f}  {trial.values[0]:8.3f}")
    return study


if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    main()
