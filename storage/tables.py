"""Our tables beside Optuna's, and the way between their rows and the records."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar, get_type_hints

import numpy as np

from ecad_automl.errors import StorageError
from storage.records import (
    BaselineRecord,
    ConfirmationRecord,
    EvaluationRecord,
    GenerationRecord,
    Scores,
    pack_scores,
    unpack_scores,
)

SCHEMA_VERSION = 1

Record = EvaluationRecord | BaselineRecord | GenerationRecord | ConfirmationRecord
R = TypeVar("R", EvaluationRecord, BaselineRecord, GenerationRecord, ConfirmationRecord)

#: By a record's type hint; metrics and times by name are kept as bytes and as JSON.
_KINDS: Mapping[Any, type] = {
    **{hint: kind for kind in (int, float, str) for hint in (kind, kind | None)},
    bool: int,
    Scores: bytes,
    Mapping[str, float]: str,
}


def _columns(record: type[Record]) -> dict[str, type]:
    """The columns of a table of records: the name of the study, then the fields, the long scores last."""
    hints = get_type_hints(record)
    names = sorted((item.name for item in fields(record)), key=lambda name: name == "scores")
    return {"study": str, **{name: _KINDS[hints[name]] for name in names}}


_TABLES: dict[str, tuple[dict[str, type], tuple[str, ...]]] = {
    "ecad_meta": ({"key": str, "value": str}, ("key",)),
    "ecad_studies": ({"study": str, "identity": str, "created": str}, ("study",)),
    "ecad_evaluations": (_columns(EvaluationRecord), ("study", "genome")),
    "ecad_baselines": (_columns(BaselineRecord), ("study", "name")),
    "ecad_generations": (_columns(GenerationRecord), ("study", "generation")),
    "ecad_confirmations": (_columns(ConfirmationRecord), ("study", "sample", "run")),
    "ecad_calibration": ({"study": str, "name": str, "data": bytes, "created": str}, ("study", "name")),
}

COLUMNS: Mapping[str, Mapping[str, type]] = {name: columns for name, (columns, _) in _TABLES.items()}
"""Types of Python by column and table."""

KEYS = {name: key for name, (_, key) in _TABLES.items()}
"""Columns of the primary key by table."""

LATER_COLUMNS: Mapping[str, Mapping[str, Any]] = {"ecad_evaluations": {"feasible": True}}
"""Columns that databases of earlier versions lack, and what they stand for there."""


def row_key(table: str, row: Mapping[str, Any]) -> str:
    """A digest of the key of a row, where the key itself is too long for an index."""
    return hashlib.sha256(json.dumps([row[name] for name in KEYS[table]]).encode()).hexdigest()


def check_version(version: object, where: object) -> None:
    """Whether our tables are of a version that this code can use.

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
        elif value is None and item.name in LATER_COLUMNS["ecad_evaluations"]:
            value = LATER_COLUMNS["ecad_evaluations"][item.name]
        elif item.name in ("complete", "feasible", "surrogate_used"):
            value = bool(value)
        elif kind is GenerationRecord and item.name == "seconds":
            value = json.loads(row[item.name])
        values[item.name] = value
    return kind(**values)


def json_value(value: Any) -> Any:
    """A value as JSON and databases take it: numpy's numbers as Python's, numbers that are not finite as None.

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
