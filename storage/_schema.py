"""Our tables as SQLAlchemy makes and writes them, in a file and on a server."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Double,
    Identity,
    Insert,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    bindparam,
    inspect,
    literal_column,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.types import TypeEngine

from storage.records import COLUMNS, KEYS, LATER_COLUMNS

#: Optuna's limit for names of studies.
_NAME = 512

#: By type of Python.
_TYPES: Mapping[type, TypeEngine[Any]] = {str: Text(), int: BigInteger(), float: Double(), bytes: LargeBinary()}


class Schema:
    """Our tables in one kind of database.

    In a file the key of a row is its primary key. Bits of a schedule are too long for an index of a server, where a
    digest of the key stands for it, and a number keeps the order of rows, which a file keeps by itself.
    """

    def __init__(self, dialect: str) -> None:
        self._is_file = dialect == "sqlite"
        self._metadata = MetaData()
        for name, columns in COLUMNS.items():
            Table(name, self._metadata, *(self._file_columns if self._is_file else self._server_columns)(name, columns))

    def create(self, connection: Connection) -> None:
        """Make what is missing."""
        self._metadata.create_all(connection)
        for name, columns in LATER_COLUMNS.items():
            there = {column["name"] for column in inspect(connection).get_columns(name)}
            for column in columns.keys() - there:
                kind = _TYPES[COLUMNS[name][column]].compile(connection.dialect)
                connection.execute(text(f"alter table {name} add column {column} {kind}"))

    def missing(self, connection: Connection) -> set[tuple[str, str | None]]:
        """Tables, and columns of tables, that a database of an earlier version lacks."""
        inspector = inspect(connection)
        there = set(inspector.get_table_names())
        found: set[tuple[str, str | None]] = {(name, None) for name in COLUMNS if name not in there}
        for name in LATER_COLUMNS.keys() & there:
            columns = {column["name"] for column in inspector.get_columns(name)}
            found |= {(name, column) for column in LATER_COLUMNS[name] if column not in columns}
        return found

    def select(self, name: str, columns: list[str], where: Collection[str]) -> Any:
        """The query for rows with some values, with which it is to be executed, as their keys were first kept."""
        table = self._metadata.tables[name]
        query = select(*(table.c[column] for column in columns))
        query = query.order_by(literal_column("rowid") if self._is_file else table.c.id)
        by = ["row_key"] if not self._is_file and set(where) == set(KEYS[name]) else where
        return query.where(*(table.c[column] == bindparam(column) for column in by))

    def insert(self, name: str, *, replace: bool) -> Insert:
        """Keep a row, with which it is to be executed; in the place of one with the same key, or else not at all."""
        table = self._metadata.tables[name]
        found = (sqlite.insert if self._is_file else postgresql.insert)(table)
        key = list(KEYS[name]) if self._is_file else ["row_key"]
        if replace:
            kept = {column: found.excluded[column] for column in COLUMNS[name]}
            return found.on_conflict_do_update(index_elements=key, set_=kept)
        return found.on_conflict_do_nothing(index_elements=key)

    @staticmethod
    def _file_columns(name: str, columns: Mapping[str, type]) -> list[Column[Any]]:
        return [Column(column, _TYPES[kind], primary_key=column in KEYS[name]) for column, kind in columns.items()]

    @staticmethod
    def _server_columns(_name: str, columns: Mapping[str, type]) -> list[Column[Any]]:
        return [
            Column("id", BigInteger, Identity(), primary_key=True),
            Column("row_key", String(64), nullable=False, unique=True),
            *(
                Column(column, String(_NAME) if column == "study" else _TYPES[kind], index=column == "study")
                for column, kind in columns.items()
            ),
        ]
