"""Schedules that searches on a test bed have evaluated, all of today's genes, to fit and judge surrogates on.

The searches evaluate every candidate whole, and draw half of each generation by lot: what a surrogate has chosen is
alike, and better thought of by it than it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.code import digest
from benchmarks.search.beds import BEDS, load_bed
from benchmarks.search.searched import searched_front
from ecad_automl.schedules.drift import Drift
from ecad_automl.schedules.forecast import Forecasts
from ecad_automl.schedules.guidance_errors import guidance_errors
from storage import DRIFT, Store, drift_of, optuna_storage
from studies import attributes
from studies.config import SearchConfig
from studies.cost import mac_cost
from studies.plan_space import PlanSpace
from studies.quality import Scale, worst_of_interest
from studies.seeds import reuse_errors, searched_steps
from studies.trials import evaluated_trials, image_share, predictions_of, values_of
from surrogate import FeatureContext, LogDrop, features_and_drift

__all__ = ["Evaluated", "evaluated", "read"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Evaluated:
    """What is known of the ``n`` schedules that one search has evaluated whole, in order of generations.

    Args:
        context: of the features.
        genes: ``(n, steps, columns)``.
        reward: ``(n,)``.
        cost: ``(n,)`` GMACs.
        scale: of the log drops.
        generation: ``(n,)``; 0 for seeds.
        drawn: ``(n,)`` bool: bred, and drawn by lot.
        predicted: ``(n, 2)``: rewards that the search predicted, and standard deviations; NaN where it did not.
        seconds: ``(generations,)`` that it took to propose each.
    """

    context: FeatureContext
    genes: NDArray[np.bool_]
    reward: Floats
    cost: Floats
    scale: LogDrop
    generation: NDArray[np.intp]
    drawn: NDArray[np.bool_]
    predicted: Floats
    seconds: Floats

    @cached_property
    def _features(self) -> tuple[Floats, Floats]:
        return features_and_drift(self.genes, self.context)

    @property
    def x(self) -> Floats:
        """``(n, features)``."""
        return self._features[0]

    @property
    def drift(self) -> Floats:
        """``(n, steps, groups)``."""
        return self._features[1]

    @cached_property
    def target(self) -> Floats:
        """``(n,)`` log drops."""
        return self.scale.of(self.reward)

    @cached_property
    def of_interest(self) -> NDArray[np.bool_]:
        """``(n,)``: not worse than the shortest uncached run."""
        found: NDArray[np.bool_] = self.reward > self.scale.uncached - self.scale.spread
        return found


def evaluated(name: str, seed: int, work: Path, evaluations: int) -> Evaluated:
    """Those of a search on a bed, which is run where it has not been.

    Args:
        name: of the bed.
        seed: of the search.
        work: folder of searches.
        evaluations: budget of each.
    """
    bed = BEDS[name]
    path = work / f"{name}-{seed}-{digest((__name__,))}.db"
    config = SearchConfig(evaluations=evaluations, seed=seed, race=False, unfiltered=SearchConfig.offspring // 2)
    searched_front(bed, path, config)
    return read(name, path)


def read(name: str, path: Path) -> Evaluated:
    """Those that any search of all genes on a bed has evaluated whole.

    Args:
        name: of the bed.
        path: of its database.
    """
    bed, config = BEDS[name], SearchConfig()
    evaluator, layout = load_bed(bed, split="calibration", captions=1, noises=bed.noises)
    steps, guidance_scale = evaluator.settings.steps, evaluator.settings.classifier_free_guidance
    cost = mac_cost(layout)
    with Store.open(path, read_only=True) as store:
        study = store.studies()[0]
        kept = {count: store.calibration(study, drift_of(count)) for count in searched_steps(steps)}
        kept[steps] = store.calibration(study, DRIFT)
        drifts = {count: Drift.from_bytes(data) for count, data in kept.items() if data is not None}
        rewards = {record.name: record.reward for record in store.baselines(study).values()}
        seconds = [record.seconds["propose"] for record in store.generations(study) if "propose" in record.seconds]
    uncached = rewards.pop("uncached")
    scale = Scale(uncached, worst_of_interest(uncached, rewards.values(), -np.inf), cost.of_steps(steps))
    forecasts = {count: Forecasts(drift, layout.component_index) for count, drift in drifts.items()}
    guidance = {count: guidance_errors(of, guidance_scale) for count, of in forecasts.items()}
    space = PlanSpace(
        layout,
        steps,
        cost,
        scale,
        {count: reuse_errors(drift, config) for count, drift in drifts.items()},
        forecasts,
        {count: errors for count, errors in guidance.items() if errors is not None} if bed.guided else {},
        fits=True,
    )
    with optuna_storage(path) as storage:
        import optuna

        trials = evaluated_trials(optuna.load_study(study_name=study, storage=storage))
    trials = [trial for trial in trials if image_share(trial) == 1.0]
    trials.sort(key=lambda trial: (trial.user_attrs[attributes.GENERATION], trial.number))
    reward, costs = np.array([values_of(trial) for trial in trials]).T
    generation = np.array([trial.user_attrs[attributes.GENERATION] for trial in trials])
    filtered = np.array([bool(trial.user_attrs[attributes.FILTERED]) for trial in trials])
    return Evaluated(
        space._context,
        space.genes([space.read(trial.user_attrs[attributes.GENOME]) for trial in trials]),
        reward,
        costs,
        LogDrop(scale.uncached_reward, scale.span),
        generation,
        (generation > 0) & ~filtered,
        predictions_of(trials),
        np.array(seconds),
    )
