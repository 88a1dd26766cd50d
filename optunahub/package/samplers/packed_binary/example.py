"""Profit against weight of 100 items: 100 bits, two objectives, 50 evaluations."""

import numpy as np
import optuna
import optunahub

module = optunahub.load_module(package="samplers/packed_binary")

rng = np.random.default_rng(0)
profit, weight = rng.integers(10, 100, (2, 100))


def objective(trial: optuna.Trial) -> tuple[float, float]:
    """Profit and weight of the items that are taken."""
    taken = module.suggest_bits(trial)  # (100,) bool
    return float(profit[taken].sum()), float(weight[taken].sum())


if __name__ == "__main__":
    sampler = module.PackedBinarySampler(
        100,
        # The weight is known without an evaluation; the surrogate predicts the profit alone.
        exact={1: lambda taken: taken @ weight},
        seed=0,
    )
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    study.optimize(objective, n_trials=50)
    for trial in sorted(study.best_trials, key=lambda trial: trial.values[1]):
        print(f"weight {trial.values[1]:5.0f}  profit {trial.values[0]:5.0f}")
