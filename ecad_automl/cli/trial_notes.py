"""What Optuna's tables say of trials beyond our own; read without Optuna."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from storage import sqlite_faults

__all__ = ["TrialNote", "read_trial_notes"]

_OPERATORS = """
    select t.number, a.value_json from trials t
    join studies s on s.study_id = t.study_id join trial_user_attributes a on a.trial_id = t.trial_id
    where s.study_name = ? and a.key = 'operator'
"""
#: The sampler's class name stands before the colon.
_GENERATIONS = """
    select t.number, a.value_json from trials t
    join studies s on s.study_id = t.study_id join trial_system_attributes a on a.trial_id = t.trial_id
    where s.study_name = ? and a.key like '%:generation'
"""


@dataclass(frozen=True)
class TrialNote:
    """How a trial was bred; None for what is not known of it."""

    operator: str | None = None
    generation: int | None = None


def read_trial_notes(path: Path, study: str) -> dict[int, TrialNote]:
    """Notes by the number of the trial; those of no trial where the file has no such Optuna study.

    Raises:
        StorageError: the file cannot be read.
    """
    with sqlite_faults(path), closing(_connect(path)) as connection:
        tables = {name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")}
        if not {"trials", "studies", "trial_user_attributes", "trial_system_attributes"} <= tables:
            return {}
        operators = dict(_values(connection, _OPERATORS, study))
        generations = dict(_values(connection, _GENERATIONS, study))
    return {
        number: TrialNote(_text(operators.get(number)), _number(generations.get(number)))
        for number in operators.keys() | generations.keys()
    }


def _connect(path: Path) -> sqlite3.Connection:
    """Read-only; in a folder that cannot be written, a file without a log beside it is read as it is."""
    where = f"file:{quote(str(path))}?mode=ro"
    connection = sqlite3.connect(where, uri=True)
    try:
        connection.execute("select count(*) from sqlite_master").fetchone()
    except sqlite3.OperationalError:
        connection.close()
        if Path(f"{path}-wal").exists():
            raise
        return sqlite3.connect(f"{where}&immutable=1", uri=True)
    return connection


def _values(connection: sqlite3.Connection, query: str, study: str) -> Iterator[tuple[int, object]]:
    for number, text in connection.execute(query, (study,)):
        yield number, json.loads(text)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None
