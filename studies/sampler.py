"""The Optuna sampler of a search."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from ecad_automl.schedules.schedule import Schedule
from studies import attributes
from studies.bounds import Bounds
from studies.breeding import GenomeSampler, Measured
from studies.config import BreedingConfig
from studies.schedule_space import ScheduleSpace
from studies.trials import EVALUATED, image_share, is_feasible, predictions_of, values_of


class ScheduleNSGAIISampler(GenomeSampler[Schedule]):
    """NSGA-II whose individuals are caching schedules.

    Optuna files generations under the name of this class: renaming it orphans stored studies.
    """

    def __init__(self, space: ScheduleSpace, config: BreedingConfig, bounds: Bounds) -> None:
        super().__init__(space, config)
        self._steps = space.steps
        self._bounds = bounds
        self._held: set[Schedule] | None = None

    def new_trial(self, study: Study, storage: BaseStorage, generation: int) -> Trial:
        """What ``study.ask`` gives where no seed is waiting, but written in one piece, and no trial is read for it.

        To ask, Optuna reads all trials anew that are running, several times: with hundreds of workers that would be
        most of what a search computes.
        """
        schedule, found = self._next_candidate(study, generation)
        fraction = schedule.mac_fraction_of(self._steps)
        template = create_trial(
            state=TrialState.RUNNING,
            params=self._describe(schedule),
            distributions=self.distributions,
            user_attrs={
                **found,
                attributes.GENERATION: generation,
                attributes.SPEEDUP: round(1 / fraction, 4),
                attributes.MAC_FRACTION: round(fraction, 6),
            },
            system_attrs={self._get_generation_key(): generation},
        )
        self._taken(study).add(schedule)
        return Trial(study, storage.create_new_trial(storage.get_study_id_from_name(study.study_name), template))

    def _taken(self, study: Study) -> set[Schedule]:
        """Read once: this process makes all trials of the study that come after."""
        if self._held is None:
            self._held = super()._taken(study)
        return self._held

    def _is_measured(self, trial: FrozenTrial) -> bool:
        return trial.state in EVALUATED

    def _measured(self, study: Study, trials: Sequence[FrozenTrial]) -> Measured:
        del study
        reward, cost = np.array([values_of(trial) for trial in trials], dtype=np.float64).reshape(-1, 2).T
        return Measured(
            reward,
            cost,
            np.array([image_share(trial) for trial in trials]),
            np.array([is_feasible(trial) for trial in trials], dtype=np.bool_),
            self._bounds.margins(trials),
        )

    def _predicted(self, study: Study, trials: Sequence[FrozenTrial]) -> NDArray[np.float64]:
        del study
        reward = predictions_of(trials)
        return np.stack([reward, np.full_like(reward, np.nan)], axis=1)
