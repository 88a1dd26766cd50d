"""Writing a trial of Optuna in one piece.

Optuna's own storage looks up each parameter and attribute of a trial before it writes it, and commits most of them by
themselves: some forty transactions for a trial, which are most of what the driver of many workers computes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from optuna.distributions import distribution_to_json
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

if TYPE_CHECKING:
    from optuna.storages import RDBStorage
    from sqlalchemy.orm import Session

__all__ = ["Written", "can_write_whole", "finish_trial", "insert_trial"]


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
    """Whether the storage is in a database that this module can write to."""
    from optuna.storages import RDBStorage

    return isinstance(storage, RDBStorage)


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
        values: of the objectives; they are finite.
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


def _table(name: str) -> Any:
    """As Optuna defines it."""
    from optuna.storages._rdb.models import BaseModel

    return BaseModel.metadata.tables[name]


def _transaction(storage: RDBStorage) -> AbstractContextManager[Session]:
    """Optuna's own, so that errors are those that it raises."""
    from optuna.storages._rdb.storage import _create_scoped_session

    return _create_scoped_session(storage.scoped_session)
