"""From all that a study has evaluated to the candidates of its next generation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule
from studies import attributes
from studies.bounds import Bounds
from studies.calibration import Calibration
from studies.config import SearchConfig
from studies.cost import Cost
from studies.operators import operator_odds
from studies.proposer import Evaluated, Pending, Plan, propose
from studies.seeds import harm_of
from studies.trials import earlier_than, image_share, is_feasible, schedule_of, values_of
from studies.trust import Trust, measure_trust
from studies.warm_start import WarmStart
from surrogate import FeatureContext, hypervolume_gain, non_dominated, staircase

__all__ = ["Breeder", "Request"]

GenerationOf = Callable[[FrozenTrial], int]


#: Makes a generation: the trust in the surrogate, by what it has foretold so far, and the candidates. It looks at
#: nothing but what was gathered before, so another thread may call it.
Request = Callable[[], tuple[Trust, Plan]]


class Breeder:
    """Gathers what a generation is bred from.

    Args:
        layout: the slots.
        steps: denoising steps.
        config: the settings of the search.
        cost: what is minimized.
        calibration: of the study.
        initial: what the study was started from.
        bounds: its constraints.
        generation_of: the generation of a trial.
    """

    def __init__(
        self,
        layout: Layout,
        steps: int,
        config: SearchConfig,
        cost: Cost,
        calibration: Calibration,
        initial: WarmStart,
        bounds: Bounds,
        generation_of: GenerationOf,
    ) -> None:
        self._layout = layout
        self._steps = steps
        self._config = config
        self._cost = cost
        self._scale = calibration.scale
        self._prior = initial.prior
        self._bounds = bounds
        self._generation_of = generation_of
        self._schedules: dict[str, Schedule] = {}
        self._context = FeatureContext(
            layout.block_index, layout.component_index, layout.slot_macs, harm_of(calibration.drift, config)
        )

    def request(
        self,
        generation: int,
        trials: Sequence[FrozenTrial],
        elite: Sequence[FrozenTrial],
        pending: Sequence[Pending] = (),
    ) -> Request:
        """What a generation is to be made of.

        Args:
            generation: its number; its random stream depends on it and the seed of the search alone.
            trials: all that were evaluated; those of this generation and later ones do not count.
            elite: the parents.
            pending: candidates that are being evaluated.
        """
        trials, elite, pending = list(trials), list(elite), list(pending)

        def plan() -> tuple[Trust, Plan]:
            earlier = earlier_than(generation, trials, self._generation_of)
            trust = measure_trust(earlier, self._config.trust, self._scale)
            found = propose(
                self._layout,
                self._context,
                self._evaluated(earlier),
                sorted(map(self._schedule, elite), key=Schedule.to_hex),
                self._config,
                self._cost,
                self._scale,
                np.random.default_rng([self._config.seed, generation]),
                trusted=not trust.doubted,
                stretch=trust.stretch,
                prior=self._prior,
                odds=operator_odds(self._gains(earlier)) if self._config.adaptive else None,
                pending=pending,
            )
            return trust, found

        return plan

    def _evaluated(self, earlier: Sequence[FrozenTrial]) -> Evaluated:
        values = np.array([values_of(trial) for trial in earlier])
        return Evaluated(
            tuple(map(self._schedule, earlier)),
            values[:, 0],
            values[:, 1],
            np.array([image_share(trial) for trial in earlier]),
            np.array([is_feasible(trial) for trial in earlier]),
            self._bounds.rooms(earlier),
        )

    def _schedule(self, trial: FrozenTrial) -> Schedule:
        """Of its genome, each read once."""
        genome = str(trial.user_attrs[attributes.GENOME])
        if genome not in self._schedules:
            self._schedules[genome] = schedule_of(trial, self._layout, self._steps)
        return self._schedules[genome]

    def _gains(self, earlier: Sequence[FrozenTrial]) -> Iterator[tuple[str, float]]:
        """Of each bred trial its operators and the hypervolume that it added to the front of earlier generations."""
        rewards: list[float] = []
        costs: list[float] = []
        for generation, group in groupby(earlier, key=self._generation_of):
            trials = list(group)
            values = np.array([values_of(trial) for trial in trials])
            whole = np.array([trial.state is TrialState.COMPLETE and is_feasible(trial) for trial in trials])
            if generation:
                front = staircase(rewards, costs, self._scale.reference)
                gains = hypervolume_gain(values[:, 0], values[:, 1], front) * whole
                for trial, gain in zip(trials, gains, strict=True):
                    yield str(trial.user_attrs[attributes.OPERATOR]), float(gain)
            rewards += values[whole, 0].tolist()
            costs += values[whole, 1].tolist()
            front_only = non_dominated(rewards, costs)
            rewards, costs = np.array(rewards)[front_only].tolist(), np.array(costs)[front_only].tolist()
