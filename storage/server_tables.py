"""Our tables as SQLAlchemy makes them on a server: the columns that a file has, and two more."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import BigInteger, Column, Double, Identity, Insert, LargeBinary, MetaData, String, Table, Text
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.types import TypeEngine

from storage.tables import COLUMN_TYPES, KEYS

__all__ = ["METADATA", "insert_unless_there", "row_key", "table_of", "upsert"]

#: Optuna's limit for names of studies.
_NAME = 512

#: By type of Python. MySQL's own TEXT and BLOB end at 64 KiB.
_TYPES: Mapping[type, TypeEngine[Any]] = {
    str: Text().with_variant(mysql.LONGTEXT(), "mysql"),
    int: BigInteger(),
    float: Double(),
    bytes: LargeBinary().with_variant(mysql.LONGBLOB(), "mysql"),
}

METADATA = MetaData()
"""Our tables."""

for _name, _columns in COLUMN_TYPES.items():
    Table(
        _name,
        METADATA,
        # The order of rows, which a file has by itself.
        Column("id", BigInteger, Identity(), primary_key=True),
        # Bits of a schedule are too long for an index of either server.
        Column("row_key", String(64), nullable=False, unique=True),
        *(
            Column(column, String(_NAME) if column == "study" else _TYPES[kind], index=column == "study")
            for column, kind in _columns.items()
        ),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )


def table_of(name: str) -> Table:
    """One of our tables."""
    return METADATA.tables[name]


def row_key(table: str, row: Mapping[str, Any]) -> str:
    """What stands for the primary key of a row: a digest of its values, exact where servers compare text loosely."""
    values = [row[name] for name in KEYS[table]]
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


def upsert(table: str, row: Mapping[str, Any], dialect: str) -> Insert:
    """Keep a row, in the place of the one with the same key."""
    values = _values(table, row)
    if dialect == "postgresql":
        found = postgresql.insert(table_of(table)).values(values)
        return found.on_conflict_do_update(index_elements=["row_key"], set_=values)
    return mysql.insert(table_of(table)).values(values).on_duplicate_key_update(values)


def insert_unless_there(table: str, row: Mapping[str, Any], dialect: str) -> Insert:
    """Keep a row unless there is one with the same key."""
    values = _values(table, row)
    if dialect == "postgresql":
        return postgresql.insert(table_of(table)).values(values).on_conflict_do_nothing(index_elements=["row_key"])
    # Not INSERT IGNORE, which turns other errors into warnings.
    return mysql.insert(table_of(table)).values(values).on_duplicate_key_update(row_key=values["row_key"])


def _values(table: str, row: Mapping[str, Any]) -> dict[str, Any]:
    # PostgreSQL takes no truth value for a number, which a file does.
    plain = {name: int(value) if isinstance(value, bool) else value for name, value in row.items()}
    return {**plain, "row_key": row_key(table, row)}
