"""Optuna's storage as the pages of the dashboard read it.

A page asks for all trials of a study, and every ten seconds again. Optuna's own storage makes objects of all rows each
time, which is most of what a page of a large study waits for.
"""

from __future__ import annotations

import copy
import json
import threading
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

import sqlalchemy as sa
from optuna.distributions import json_to_distribution
from optuna.storages import RDBStorage, _CachedStorage
from optuna.storages._rdb import models
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState

__all__ = ["PageStorage"]

#: What Optuna's genetic samplers keep in a study for each generation; no page shows it, and pages look through all
#: attributes of the study for each trial.
_PARENTS = ":parent:"
#: Trials whose rows are asked for one by one; of more, all rows of the study are read.
_FEW = 500

Rows = Mapping[int, Sequence[Any]]


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
        with self._reading, self._backend.engine.connect() as connection:
            heads = _heads(connection, study_id)
            before = self._ended.get(study_id, {})
            missing = [head for head in heads if head not in before]
            found = {**before, **_read(connection, study_id, missing)}
            self._ended[study_id] = {head: found[head] for head in heads if head.state.is_finished()}
        trials = [found[head] for head in heads if states is None or head.state in states]
        return copy.deepcopy(trials) if deepcopy else trials


def _heads(connection: sa.Connection, study_id: int) -> list[_Head]:
    trial = models.TrialModel
    columns = trial.trial_id, trial.number, trial.state, trial._datetime_start_utc, trial._datetime_complete_utc
    rows = connection.execute(sa.select(*columns).where(trial.study_id == study_id).order_by(trial.number))
    return [_Head(*row) for row in rows]


def _read(connection: sa.Connection, study_id: int, heads: Sequence[_Head]) -> dict[_Head, FrozenTrial]:
    """Trials with all that belongs to them."""
    if not heads:
        return {}
    trial = models.TrialModel
    ids: Any = [head.trial_id for head in heads]
    if len(heads) > _FEW:
        ids = sa.select(trial.trial_id).where(trial.study_id == study_id)

    def rows(model: Any, order: Any, *columns: Any) -> Rows:
        query = sa.select(model.trial_id, *columns).where(model.trial_id.in_(ids)).order_by(order)
        return _by_trial(connection.execute(query))

    param, value, step = models.TrialParamModel, models.TrialValueModel, models.TrialIntermediateValueModel
    user, system = models.TrialUserAttributeModel, models.TrialSystemAttributeModel
    params = rows(param, param.param_id, param.param_name, param.param_value, param.distribution_json)
    values = rows(value, value.objective, value.value, value.value_type)
    steps = rows(step, step.step, step.step, step.intermediate_value, step.intermediate_value_type)
    users = rows(user, user.trial_user_attribute_id, user.key, user.value_json)
    systems = rows(system, system.trial_system_attribute_id, system.key, system.value_json)
    distribution = cache(json_to_distribution)  # all trials have the same few

    def made(head: _Head) -> FrozenTrial:
        key = head.trial_id
        distributions = {name: distribution(text) for name, _, text in params.get(key, ())}
        return FrozenTrial(
            number=head.number,
            state=head.state,
            value=None,
            values=[value.stored_repr_to_value(*row) for row in values.get(key, ())] or None,
            datetime_start=_local(head.started),
            datetime_complete=_local(head.completed),
            params={name: distributions[name].to_external_repr(number) for name, number, _ in params.get(key, ())},
            distributions=distributions,
            user_attrs={name: json.loads(text) for name, text in users.get(key, ())},
            system_attrs={name: json.loads(text) for name, text in systems.get(key, ())},
            intermediate_values={
                number: step.stored_repr_to_intermediate_value(*row) for number, *row in steps.get(key, ())
            },
            trial_id=key,
        )

    return {head: made(head) for head in heads}


def _by_trial(rows: Iterable[Sequence[Any]]) -> Rows:
    found: dict[int, list[Any]] = defaultdict(list)
    for trial_id, *row in rows:
        found[trial_id].append(row)
    return found


def _local(utc: datetime | None) -> datetime | None:
    """As Optuna gives times: of this machine, without a zone."""
    return None if utc is None else utc.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)
