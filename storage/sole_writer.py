"""Optuna's storage for the one process that writes to a study: what it has written it need not read again."""

from __future__ import annotations

import copy
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState

from storage.whole_trials import Written, can_write_whole, finish_trial, insert_trial, read_trials

__all__ = ["SoleWriterStorage"]


class SoleWriterStorage(BaseStorage):
    """Passes everything on, and keeps the trials that it has passed on in memory.

    Optuna reads all unfinished trials of a study anew, several times for each trial that is asked for, since others may
    have changed them: with hundreds on their way that is most of what a search computes. Whoever holds the lock of a
    study is the only one to write its trials.

    Trials that are given out are replaced, never changed, when something is written to them.

    Args:
        backend: where everything is kept.
    """

    def __init__(self, backend: BaseStorage) -> None:
        self._backend = backend
        self._trials: dict[int, list[FrozenTrial]] = {}
        self._places: dict[int, tuple[int, int]] = {}
        self._whole = can_write_whole(backend)
        self._held: dict[int, Written] = {}

    @contextmanager
    def together(self, trial_id: int) -> Iterator[None]:
        """Write the attributes that a trial is given in this block in one transaction with its end, also in it.

        If the block raises, or does not end the trial, the attributes are not in the database.
        """
        if self._whole and trial_id in self._places:
            self._held[trial_id] = Written()
        try:
            yield
        finally:
            self._held.pop(trial_id, None)

    # Studies

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        """See :class:`optuna.storages.BaseStorage`, as for all that follows."""
        return self._backend.create_new_study(directions, study_name)

    def delete_study(self, study_id: int) -> None:
        """Pass on."""
        self._backend.delete_study(study_id)
        for trial in self._trials.pop(study_id, []):
            del self._places[trial._trial_id]

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """Pass on."""
        self._backend.set_study_user_attr(study_id, key, value)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Pass on."""
        self._backend.set_study_system_attr(study_id, key, value)

    def get_study_id_from_name(self, study_name: str) -> int:
        """Pass on."""
        return self._backend.get_study_id_from_name(study_name)

    def get_study_name_from_id(self, study_id: int) -> str:
        """Pass on."""
        return self._backend.get_study_name_from_id(study_id)

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """Pass on."""
        return self._backend.get_study_directions(study_id)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """Pass on: the dashboard may write them."""
        return self._backend.get_study_user_attrs(study_id)

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Pass on: the dashboard may write them."""
        return self._backend.get_study_system_attrs(study_id)

    def get_all_studies(self) -> list[FrozenStudy]:
        """Pass on."""
        return self._backend.get_all_studies()

    # Trials

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Pass on, and keep what was made of it."""
        known = self._of(study_id)
        whole = self._whole and template_trial is not None and template_trial.state is TrialState.RUNNING
        if whole and template_trial is not None and not template_trial.intermediate_values:
            trial_id, number = insert_trial(self._backend, study_id, template_trial)  # type: ignore[arg-type]
            trial = copy.deepcopy(template_trial)
            trial.number, trial._trial_id = number, trial_id
        else:
            trial_id = self._backend.create_new_trial(study_id, template_trial)
            trial = self._backend.get_trial(trial_id)
        assert trial.number == len(known), "another process writes to this study"
        known.append(trial)
        self._places[trial_id] = study_id, trial.number
        return trial_id

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        """Pass on."""
        self._backend.set_trial_param(trial_id, param_name, param_value_internal, distribution)
        if trial_id in self._places:
            trial = self._changed(trial_id)
            trial.params = {**trial.params, param_name: distribution.to_external_repr(param_value_internal)}
            trial.distributions = {**trial.distributions, param_name: distribution}

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """Pass on, and keep what was made of it."""
        if state.is_finished() and (written := self._held.pop(trial_id, None)) is not None:
            end = finish_trial(self._backend, trial_id, state, values, written)  # type: ignore[arg-type]
            trial = self._changed(trial_id)
            trial.state, trial.datetime_complete = state, end
            if values is not None:
                trial.values = list(values)
            return True
        done = self._backend.set_trial_state_values(trial_id, state, values)
        if trial_id in self._places:
            study_id, number = self._places[trial_id]
            self._trials[study_id][number] = self._backend.get_trial(trial_id)
        return done

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        """Pass on."""
        self._backend.set_trial_intermediate_value(trial_id, step, intermediate_value)
        if trial_id in self._places:
            trial = self._changed(trial_id)
            trial.intermediate_values = {**trial.intermediate_values, step: intermediate_value}

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Pass on, or keep for the end of the trial; see :meth:`together`."""
        if (held := self._held.get(trial_id)) is not None:
            held.user[key] = copy.deepcopy(value)
        else:
            self._backend.set_trial_user_attr(trial_id, key, value)
        if trial_id in self._places:
            trial = self._changed(trial_id)
            trial.user_attrs = {**trial.user_attrs, key: copy.deepcopy(value)}

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Pass on, or keep for the end of the trial; see :meth:`together`."""
        if (held := self._held.get(trial_id)) is not None:
            held.system[key] = copy.deepcopy(value)
        else:
            self._backend.set_trial_system_attr(trial_id, key, value)
        if trial_id in self._places:
            trial = self._changed(trial_id)
            trial.system_attrs = {**trial.system_attrs, key: copy.deepcopy(value)}

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """From memory, where the trials of its study were asked for before."""
        place = self._places.get(trial_id)
        if place is None:
            return self._backend.get_trial(trial_id)
        study_id, number = place
        return _apart(self._trials[study_id][number])

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """From memory, but for the first time."""
        trials = [trial for trial in self._of(study_id) if states is None or trial.state in states]
        return copy.deepcopy(trials) if deepcopy else trials

    def remove_session(self) -> None:
        """Pass on."""
        self._backend.remove_session()

    def _of(self, study_id: int) -> list[FrozenTrial]:
        if study_id not in self._trials:
            trials = self._read_all(study_id)
            self._trials[study_id] = list(trials)
            self._places |= {trial._trial_id: (study_id, trial.number) for trial in trials}
        return self._trials[study_id]

    def _read_all(self, study_id: int) -> list[FrozenTrial]:
        if self._whole:
            return read_trials(self._backend, study_id)  # type: ignore[arg-type]
        return self._backend.get_all_trials(study_id, deepcopy=False)

    def _changed(self, trial_id: int) -> FrozenTrial:
        """A copy in the place of a trial, for those who have been given the old one."""
        study_id, number = self._places[trial_id]
        trial = copy.copy(self._trials[study_id][number])
        self._trials[study_id][number] = trial
        return trial


def _apart(trial: FrozenTrial) -> FrozenTrial:
    """A copy whose dictionaries may be written to; a deep one takes a millisecond, for values that nobody changes."""
    found = copy.copy(trial)
    found.params, found.distributions = dict(trial.params), dict(trial.distributions)
    found.user_attrs, found.system_attrs = dict(trial.user_attrs), dict(trial.system_attrs)
    found.intermediate_values = dict(trial.intermediate_values)
    return found
