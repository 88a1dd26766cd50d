"""Our tables beside Optuna's, and the way between their rows and the records."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from sqlite_utils import Database

from ecad_automl.errors import StorageError
from storage.records import (
    BaselineRecord,
    ConfirmationRecord,
    EvaluationRecord,
    GenerationRecord,
    pack_scores,
    unpack_scores,
)

__all__ = [
    "COLUMNS",
    "COLUMN_TYPES",
    "KEYS",
    "OPTUNA_TABLES",
    "SCHEMA_VERSION",
    "check_version",
    "checked_version",
    "columns_of",
    "create_tables",
    "from_row",
    "json_value",
    "lacks_columns",
    "to_row",
    "trial_attributes_sql",
]

SCHEMA_VERSION = 1

Record = EvaluationRecord | BaselineRecord | GenerationRecord | ConfirmationRecord
R = TypeVar("R", EvaluationRecord, BaselineRecord, GenerationRecord, ConfirmationRecord)

_TABLES: dict[str, tuple[dict[str, type], tuple[str, ...]]] = {
    "ecad_meta": ({"key": str, "value": str}, ("key",)),
    "ecad_studies": ({"study": str, "identity": str, "created": str}, ("study",)),
    "ecad_evaluations": (
        {
            "study": str,
            "genome": str,
            "trial": int,
            "gmacs": float,
            "latency_ms": float,
            "reward": float,
            "reward_drop": float,
            "reward_drop_se": float,
            "complete": int,
            "feasible": int,
            "seconds": float,
            "origin": str,
            "created": str,
            "scores": bytes,
        },
        ("study", "genome"),
    ),
    "ecad_baselines": (
        {
            "study": str,
            "name": str,
            "steps": int,
            "gmacs": float,
            "latency_ms": float,
            "reward": float,
            "reward_drop": float,
            "reward_drop_se": float,
            "seconds": float,
            "created": str,
            "scores": bytes,
        },
        ("study", "name"),
    ),
    "ecad_generations": (
        {
            "study": str,
            "generation": int,
            "evaluations": int,
            "hypervolume": float,
            "rank_correlation": float,
            "coverage": float,
            "surrogate_used": int,
            "seconds": str,
            "figures": str,
            "created": str,
        },
        ("study", "generation"),
    ),
    "ecad_confirmations": (
        {
            "study": str,
            "sample": str,
            "run": str,
            "origin": str,
            "steps": int,
            "prompts": int,
            "seeds": int,
            "gmacs": float,
            "latency_ms": float,
            "seconds": float,
            "created": str,
            "scores": bytes,
        },
        ("study", "sample", "run"),
    ),
    "ecad_calibration": ({"study": str, "name": str, "data": bytes, "created": str}, ("study", "name")),
}

COLUMN_TYPES: Mapping[str, Mapping[str, type]] = {name: columns for name, (columns, _) in _TABLES.items()}
"""Types of Python by column and table."""

COLUMNS = {name: tuple(columns) for name, (columns, _) in _TABLES.items()}
"""Column names by table."""

KEYS = {name: key for name, (_, key) in _TABLES.items()}
"""Primary key by table."""

OPTUNA_TABLES = {"trials", "studies", "trial_user_attributes", "trial_system_attributes"}
"""Those of Optuna's tables that :func:`trial_attributes_sql` reads."""

#: Columns that files of earlier versions lack, and what they stand for there.
_LATER = {"ecad_evaluations": {"feasible": True}}


def columns_of(database: Database, table: str) -> tuple[str, ...]:
    """The columns to read of one of our tables: all, but for later ones that a file of an earlier version lacks."""
    later = set(_LATER.get(table, {})) - set(database.table(table).columns_dict)
    return tuple(name for name in COLUMNS[table] if name not in later)


def lacks_columns(database: Database) -> bool:
    """Whether a file with our tables was made by a version that knew fewer columns."""
    return any(columns_of(database, table) != COLUMNS[table] for table in _LATER)


def create_tables(database: Database) -> None:
    """Make what is missing of our tables; the caller holds the transaction."""
    for name, (columns, key) in _TABLES.items():
        database.table(name).create(columns, pk=key, if_not_exists=True)
        for column in set(_LATER.get(name, {})) - set(database.table(name).columns_dict):
            database.table(name).add_column(column, columns[column])
    database.table("ecad_meta").insert({"key": "schema_version", "value": str(SCHEMA_VERSION)}, ignore=True)


def check_version(database: Database, path: Path) -> bool:
    """Whether the file has our tables, in a version that this code can use.

    Args:
        database: the open file.
        path: where it lies, for messages.

    Returns:
        False where the file has none of our tables yet.

    Raises:
        StorageError: our tables are of a newer version, or their version is damaged.
    """
    if "ecad_meta" not in database.table_names():
        return False
    row = database.execute("select value from ecad_meta where key = 'schema_version'").fetchone()
    checked_version(row[0] if row else None, path)
    return True


def checked_version(version: object, where: Path | str) -> None:
    """Whether our tables are of a version that this code can use.

    Args:
        version: what they say, if anything.
        where: they are, for messages.

    Raises:
        StorageError: they are of a newer version, or the version is none.
    """
    if not isinstance(version, str) or not version.isdigit():
        raise StorageError(f"The study database {where} has the schema version {version!r}, which is none; restore it.")
    if int(version) > SCHEMA_VERSION:
        raise StorageError(
            f"The study database {where} was written by a newer ecad-automl (schema {version}, this one reads "
            f"{SCHEMA_VERSION}); upgrade ecad-automl."
        )


def trial_attributes_sql(*, system: bool) -> str:
    """The query for an attribute of Optuna's trials; it takes ``:study`` and ``:key``, where % stands for any text."""
    table = "trial_system_attributes" if system else "trial_user_attributes"
    return (
        "select t.number, a.value_json from trials t join studies s on s.study_id = t.study_id "  # noqa: S608
        f"join {table} a on a.trial_id = t.trial_id where s.study_name = :study and a.key like :key"
    )


def to_row(study: str, record: Record) -> dict[str, Any]:
    """The row of a record."""
    row: dict[str, Any] = {"study": study}
    for item in fields(record):
        value = getattr(record, item.name)
        if item.name == "scores":
            row["scores"] = pack_scores(value)
        elif isinstance(value, Mapping):
            row[item.name] = json.dumps(json_value(value))
        else:
            row[item.name] = json_value(value)
    return row


def from_row(kind: type[R], row: Mapping[str, Any]) -> R:
    """The record of a row; a row without scores gives a record without them."""
    values: dict[str, Any] = {}
    for item in fields(kind):
        value = row.get(item.name)
        if item.name == "scores":
            value = unpack_scores(value)
        elif value is None and item.name in _LATER.get("ecad_evaluations", {}):
            value = _LATER["ecad_evaluations"][item.name]
        elif item.name in ("complete", "feasible", "surrogate_used"):
            value = bool(value)
        elif kind is GenerationRecord and item.name in ("seconds", "figures"):
            value = json.loads(row[item.name])
        values[item.name] = value
    return kind(**values)


def json_value(value: Any) -> Any:
    """A value as JSON and SQLite take it: numpy's numbers as Python's, numbers that are not finite as None.

    Raises:
        StorageError: the value has no JSON form.
    """
    if isinstance(value, (np.generic, np.ndarray)):
        return json_value(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_value(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    raise StorageError(f"A study database keeps numbers, text, lists and dictionaries, not a {type(value).__name__}.")
