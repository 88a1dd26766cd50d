"""Optuna's storage as the pages of the dashboard read it.

A page asks for all trials of a study, and every ten seconds again. Optuna's own storage makes objects of all rows each
time, which is most of what a page of a large study waits for.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from optuna.storages import RDBStorage, _CachedStorage
from optuna.storages._rdb import models
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState

from storage.whole_trials import read_trials

__all__ = ["PageStorage"]

#: What Optuna's genetic samplers keep in a study for each generation; no page shows it, and pages look through all
#: attributes of the study for each trial.
_PARENTS = ":parent:"
#: Trials whose rows are asked for one by one; of more, all rows of the study are read.
_FEW = 500


@dataclass(frozen=True)
class _Head:
    """What changes last in a trial: while it is the same, so is all of a trial that has ended."""

    trial_id: int
    number: int
    state: TrialState
    started: datetime | None
    completed: datetime | None


class PageStorage(_CachedStorage):
    """Reads a trial that has ended once, and what no page shows not at all; the rest is Optuna's own storage.

    Args:
        backend: of the study database, with tables of this version of Optuna.
    """

    def __init__(self, backend: RDBStorage) -> None:
        super().__init__(backend)
        self._ended: dict[int, dict[_Head, FrozenTrial]] = {}
        self._reading = threading.Lock()

    def get_all_studies(self) -> list[FrozenStudy]:
        """All studies, by their ids, without what the sampler keeps of each generation."""
        studies = super().get_all_studies()
        for study in studies:
            shown = {key: value for key, value in study.system_attrs.items() if _PARENTS not in key}
            study.system_attrs = shown
        return sorted(studies, key=lambda study: study._study_id)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Trials by their numbers.

        Raises:
            KeyError: there is no such study.
        """
        self._backend.get_study_directions(study_id)  # KeyError
        with self._reading:
            heads = self._heads(study_id)
            before = self._ended.get(study_id, {})
            missing = [head for head in heads if head not in before]
            found = {**before, **self._read(study_id, missing)}
            self._ended[study_id] = {head: found[head] for head in heads if head.state.is_finished()}
        trials = [found[head] for head in heads if states is None or head.state in states]
        return copy.deepcopy(trials) if deepcopy else trials

    def _heads(self, study_id: int) -> list[_Head]:
        trial = models.TrialModel
        columns = trial.trial_id, trial.number, trial.state, trial._datetime_start_utc, trial._datetime_complete_utc
        with self._backend.engine.connect() as connection:
            rows = connection.execute(sa.select(*columns).where(trial.study_id == study_id).order_by(trial.number))
            return [_Head(*row) for row in rows]

    def _read(self, study_id: int, heads: Sequence[_Head]) -> dict[_Head, FrozenTrial]:
        """Trials with all that belongs to them."""
        if not heads:
            return {}
        ids = [head.trial_id for head in heads] if len(heads) <= _FEW else None
        trials = {trial._trial_id: trial for trial in read_trials(self._backend, study_id, ids)}
        return {head: trials[head.trial_id] for head in heads}
