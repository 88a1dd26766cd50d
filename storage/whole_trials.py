"""Writing a trial of Optuna in one piece, and reading all of a study.

Optuna's own storage looks up each parameter and attribute of a trial before it writes it, and commits most of them by
themselves: some forty transactions for a trial, which are most of what the driver of many workers computes. It reads
each of them into an object of its own, which at thousands of trials is most of what a search computes to go on.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from optuna.distributions import distribution_to_json, json_to_distribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

if TYPE_CHECKING:
    from optuna.storages import RDBStorage
    from sqlalchemy.orm import Session

__all__ = ["Written", "can_write_whole", "finish_trial", "insert_trial", "read_trials"]


#: The version of Optuna's tables that this module knows; with others, its own storage reads and writes all.
_TABLES = 12
#: Of each trial by its id.
_Parts = defaultdict[int, dict[Any, Any]]


@dataclass
class Written:
    """What is to be written to a trial together with its end.

    Args:
        user: attributes.
        system: Optuna's own.
    """

    user: dict[str, Any] = field(default_factory=dict)
    system: dict[str, Any] = field(default_factory=dict)


def can_write_whole(storage: BaseStorage) -> bool:
    """Whether the storage is in a database whose tables this module knows."""
    from optuna.storages import RDBStorage
    from optuna.storages._rdb.models import SCHEMA_VERSION

    return isinstance(storage, RDBStorage) and SCHEMA_VERSION == _TABLES


def insert_trial(storage: RDBStorage, study_id: int, template: FrozenTrial) -> tuple[int, int]:
    """Make a running trial with its parameters and attributes, in one transaction.

    Args:
        storage: Optuna's.
        study_id: of the study.
        template: has everything but a number; its state is RUNNING.

    Returns:
        Its id and its number.
    """
    from sqlalchemy import func, insert, select

    trials, params = _table("trials"), _table("trial_params")
    begin = template.datetime_start and _stored(template.datetime_start)
    values = {"study_id": study_id, "state": template.state, "datetime_start": begin}
    with _transaction(storage) as session:
        count = select(func.count()).select_from(trials).where(trials.c.study_id == study_id)
        number = int(session.execute(count).scalar_one())
        made = session.execute(insert(trials).values(number=number, **values)).inserted_primary_key  # type: ignore[attr-defined]
        trial_id = int(made[0])
        rows = [
            {
                "trial_id": trial_id,
                "param_name": name,
                "param_value": distribution.to_internal_repr(template.params[name]),
                "distribution_json": distribution_to_json(distribution),
            }
            for name, distribution in template.distributions.items()
        ]
        if rows:
            session.execute(insert(params), rows)
        _insert_attributes(session, "trial_user_attributes", trial_id, template.user_attrs)
        _insert_attributes(session, "trial_system_attributes", trial_id, template.system_attrs)
    return trial_id, number


def finish_trial(
    storage: RDBStorage, trial_id: int, state: TrialState, values: Sequence[float] | None, written: Written
) -> datetime:
    """Write attributes, values and the state of a trial that ends, in one transaction.

    Args:
        storage: Optuna's.
        trial_id: of a trial that is not finished.
        state: COMPLETE, PRUNED or FAIL.
        values: of the objectives, none of them NaN.
        written: attributes, in place of earlier ones of the same keys.

    Returns:
        When it ended.

    Raises:
        UpdateFinishedTrialError: the trial is finished.
    """
    from optuna.storages._rdb.models import TrialValueModel
    from sqlalchemy import insert, update

    trials, told = _table("trials"), _table("trial_values")
    open_states = (TrialState.RUNNING, TrialState.WAITING)
    end = datetime.now()  # noqa: DTZ005 - as Optuna has it
    with _transaction(storage) as session:
        done = session.execute(
            update(trials)
            .where(trials.c.trial_id == trial_id, trials.c.state.in_(open_states))
            .values(state=state, datetime_complete=_stored(end))
        )
        if done.rowcount != 1:  # type: ignore[attr-defined]
            raise UpdateFinishedTrialError(f"Trial {trial_id} is finished, and cannot be changed.")
        _replace_attributes(session, "trial_user_attributes", trial_id, written.user)
        _replace_attributes(session, "trial_system_attributes", trial_id, written.system)
        if values is not None:
            rows = []
            for objective, value in enumerate(values):
                stored, kind = TrialValueModel.value_to_stored_repr(value)
                rows.append({"trial_id": trial_id, "objective": objective, "value": stored, "value_type": kind})
            session.execute(insert(told), rows)
    return end


def read_trials(storage: RDBStorage, study_id: int, ids: Sequence[int] | None = None) -> list[FrozenTrial]:
    """Trials of a study by number, as Optuna's storage gives them.

    Args:
        storage: Optuna's.
        study_id: of the study.
        ids: of the trials, some hundreds at most; all if None.
    """
    from optuna.storages._rdb.models import TrialIntermediateValueModel, TrialValueModel

    distribution = cache(json_to_distribution)  # all trials have the same few
    params, distributions, user, system, told, between = (_Parts(dict) for _ in range(6))
    with _transaction(storage) as session:

        def rows(name: str, order: str) -> Sequence[Any]:
            return session.execute(_of_study(name, study_id, order, ids)).mappings().all()

        trials = rows("trials", "number")
        for row in rows("trial_params", "param_id"):
            found = distributions[row["trial_id"]][row["param_name"]] = distribution(row["distribution_json"])
            params[row["trial_id"]][row["param_name"]] = found.to_external_repr(row["param_value"])
        for name, into in (("trial_user_attribute", user), ("trial_system_attribute", system)):
            for row in rows(f"{name}s", f"{name}_id"):
                into[row["trial_id"]][row["key"]] = json.loads(row["value_json"])
        for row in rows("trial_values", "objective"):
            value = TrialValueModel.stored_repr_to_value(row["value"], row["value_type"])
            told[row["trial_id"]][row["objective"]] = value
        for row in rows("trial_intermediate_values", "step"):
            between[row["trial_id"]][row["step"]] = TrialIntermediateValueModel.stored_repr_to_intermediate_value(
                row["intermediate_value"], row["intermediate_value_type"]
            )
    return [
        FrozenTrial(
            number=row["number"],
            trial_id=number,
            state=row["state"],
            value=None,
            values=list(told[number].values()) or None,
            datetime_start=_local(row["datetime_start"]),
            datetime_complete=_local(row["datetime_complete"]),
            params=params[number],
            distributions=distributions[number],
            user_attrs=user[number],
            system_attrs=system[number],
            intermediate_values=between[number],
        )
        for row in trials
        for number in (row["trial_id"],)
    ]


def _of_study(name: str, study_id: int, order: str, ids: Sequence[int] | None) -> Any:
    """The rows of a table that are of a study, or of some of its trials."""
    from sqlalchemy import select

    table, trials = _table(name), _table("trials")
    query = select(table).where(trials.c.study_id == study_id).order_by(table.c[order])
    if ids is not None:
        query = query.where(trials.c.trial_id.in_(ids))
    return query if table is trials else query.join(trials, table.c.trial_id == trials.c.trial_id)


def _replace_attributes(session: Session, name: str, trial_id: int, attributes: Mapping[str, Any]) -> None:
    from sqlalchemy import delete

    if attributes:
        table = _table(name)
        session.execute(delete(table).where(table.c.trial_id == trial_id, table.c.key.in_(list(attributes))))
        _insert_attributes(session, name, trial_id, attributes)


def _insert_attributes(session: Session, name: str, trial_id: int, attributes: Mapping[str, Any]) -> None:
    from sqlalchemy import insert

    rows = [{"trial_id": trial_id, "key": key, "value_json": json.dumps(value)} for key, value in attributes.items()]
    if rows:
        session.execute(insert(_table(name)), rows)


def _stored(time: datetime) -> datetime:
    """Times are local in Optuna's trials, and UTC in its tables."""
    return time.astimezone(UTC).replace(tzinfo=None)


def _local(time: datetime | None) -> datetime | None:
    return time and time.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)


def _table(name: str) -> Any:
    """As Optuna defines it."""
    from optuna.storages._rdb.models import BaseModel

    return BaseModel.metadata.tables[name]


def _transaction(storage: RDBStorage) -> AbstractContextManager[Session]:
    """Optuna's own, so that errors are those that it raises."""
    from optuna.storages._rdb.storage import _create_scoped_session

    return _create_scoped_session(storage.scoped_session)
