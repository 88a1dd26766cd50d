"""The study database: one SQLite file with Optuna's tables and ours."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

from sqlite_utils import Database

from ecad_automl.errors import StorageError, StudyError
from storage.faults import BUSY_SECONDS, sqlite_faults
from storage.identity import differences
from storage.location import database_path
from storage.records import BaselineRecord, ConfirmationRecord, EvaluationRecord, GenerationRecord, now
from storage.tables import (
    KEYS,
    check_version,
    columns_of,
    create_tables,
    from_row,
    json_value,
    lacks_columns,
    to_row,
)

__all__ = ["Store"]

R = TypeVar("R", EvaluationRecord, BaselineRecord, GenerationRecord, ConfirmationRecord)


class Store:
    """Our tables of a study database. Each write is one transaction, on the disk when the call returns.

    Made by :meth:`open`; a context manager that closes itself. One process writes at a time, any number read. Every
    method raises :class:`~ecad_automl.errors.StorageError` where SQLite cannot do what is asked.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection
        self._database = Database(connection)

    @classmethod
    def open(
        cls,
        location: str | Path,
        *,
        create: bool = True,
        read_only: bool = False,
        busy_seconds: float = BUSY_SECONDS,
    ) -> Self:
        """Open a study database.

        Args:
            location: a path or ``sqlite:///`` URL.
            create: make the file and our tables where they are missing.
            read_only: write nothing, not even on opening; implies that nothing is made.
            busy_seconds: how long to wait for another writer.

        Raises:
            StorageError: the location is no SQLite file of ours, is locked, cannot be read or written, or was written
                by a newer version.
        """
        path = database_path(location)
        if not path.exists() and (read_only or not create):
            raise StorageError(f"There is no study database at {path}; check the path, or start a search to make it.")
        with sqlite_faults(path):
            connection = _read_only(path, busy_seconds) if read_only else _connect(path, busy_seconds, "mode=rwc")
            try:
                store = cls(path, connection)
                store._prepare(create and not read_only)
            except BaseException:
                connection.close()
                raise
        return store

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def claim_study(self, name: str, identity: Mapping[str, Any]) -> None:
        """Start a study under a name, or go on with the one of that name if it is the same.

        Args:
            name: the study.
            identity: all that its results depend on (model, hash of the prompts, reward, layout, seed, ...), JSON
                values.

        Raises:
            StudyError: the name belongs to a study of another identity.
        """
        given = json_value(identity)
        with self._transaction():
            stored = self.identity(name)
            if stored is None:
                row = {"study": name, "identity": json.dumps(given), "created": now()}
                self._database.table("ecad_studies").insert(row)
                return
        found = differences(stored, given)
        if found:
            more = f" and {len(found) - 5} more" if len(found) > 5 else ""
            raise StudyError(
                f"The study {name!r} in {self._path} was started with something else: {'; '.join(found[:5])}{more}; "
                "run it as it was started, or choose another study name."
            )

    def studies(self) -> list[str]:
        """Names of the studies, oldest first."""
        return [row["study"] for row in self._rows("select study from ecad_studies order by rowid")]

    def identity(self, study: str) -> dict[str, Any] | None:
        """What a study was claimed with, or None where there is no such study."""
        rows = self._rows("select identity from ecad_studies where study = ?", study)
        if not rows:
            return None
        with self._damaged_rows():
            return dict(json.loads(rows[0]["identity"]))

    def save_evaluation(self, study: str, record: EvaluationRecord) -> None:
        """Keep an evaluation, in place of an earlier one of the same genome. Call it before Optuna's ``tell``."""
        self._save("ecad_evaluations", to_row(study, record))

    def evaluation(self, study: str, genome: str) -> EvaluationRecord | None:
        """The evaluation of a genome, or None where it was not evaluated."""
        rows = self._rows("select * from ecad_evaluations where study = ? and genome = ?", study, genome)
        return self._records(EvaluationRecord, rows)[0] if rows else None

    def evaluations(self, study: str, *, scores: bool = True) -> list[EvaluationRecord]:
        """All evaluations of a study, oldest first.

        Args:
            study: its name.
            scores: whether to read the per-image scores; without them large studies load much faster.
        """
        return self._all(EvaluationRecord, "ecad_evaluations", study, scores=scores)

    def save_baseline(self, study: str, record: BaselineRecord) -> None:
        """Keep a baseline, in place of an earlier one of the same name."""
        self._save("ecad_baselines", to_row(study, record))

    def baselines(self, study: str) -> dict[str, BaselineRecord]:
        """The baselines of a study by name, oldest first."""
        return {record.name: record for record in self._all(BaselineRecord, "ecad_baselines", study)}

    def save_generation(self, study: str, record: GenerationRecord) -> None:
        """Keep the figures of a generation, in place of earlier ones of the same number."""
        self._save("ecad_generations", to_row(study, record))

    def generations(self, study: str) -> list[GenerationRecord]:
        """The generations of a study in order."""
        return sorted(self._all(GenerationRecord, "ecad_generations", study), key=lambda record: record.generation)

    def save_confirmation(self, study: str, record: ConfirmationRecord) -> None:
        """Keep the scores of a run on unseen prompts, in place of earlier ones of the same run and sample."""
        if not self._has_confirmations():  # a file from before there were any
            with self._transaction():
                create_tables(self._database)
        self._save("ecad_confirmations", to_row(study, record))

    def confirmations(self, study: str) -> list[ConfirmationRecord]:
        """The runs of a study that were scored on unseen prompts, oldest first."""
        return self._all(ConfirmationRecord, "ecad_confirmations", study) if self._has_confirmations() else []

    def _has_confirmations(self) -> bool:
        return bool(self._rows("select 1 from sqlite_master where name = 'ecad_confirmations'"))

    def save_calibration(self, study: str, name: str, data: bytes) -> None:
        """Keep bytes of the calibration, such as the drift, in place of earlier ones of the same name."""
        self._save("ecad_calibration", {"study": study, "name": name, "data": bytes(data), "created": now()})

    def calibration(self, study: str, name: str) -> bytes | None:
        """The bytes kept under a name, or None."""
        rows = self._rows("select data from ecad_calibration where study = ? and name = ?", study, name)
        return bytes(rows[0]["data"]) if rows else None

    def _prepare(self, create: bool) -> None:
        if create and self._connection.execute("pragma journal_mode").fetchone()[0] != "wal":
            self._connection.execute("pragma journal_mode = wal").fetchone()
        if check_version(self._database, self._path):
            if create and lacks_columns(self._database):
                with self._transaction():
                    create_tables(self._database)
            return
        if not create:
            raise StorageError(
                f"The database {self._path} holds no study of ecad-automl; check the path, or start a search to make "
                "one."
            )
        with self._transaction():
            create_tables(self._database)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Take the write lock first, so that what is read inside cannot change before the write."""
        with sqlite_faults(self._path):
            self._connection.execute("begin immediate")
            try:
                yield
                self._connection.execute("commit")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("rollback")
                raise

    def _save(self, table: str, row: dict[str, Any]) -> None:
        with self._transaction():
            self._database.table(table).upsert(row, pk=KEYS[table])

    def _rows(self, sql: str, *arguments: str) -> list[dict[str, Any]]:
        with sqlite_faults(self._path):
            return list(self._database.query(sql, arguments))

    def _records(self, kind: type[R], rows: list[dict[str, Any]]) -> list[R]:
        with self._damaged_rows():
            return [from_row(kind, row) for row in rows]

    @contextmanager
    def _damaged_rows(self) -> Iterator[None]:
        try:
            yield
        except (ValueError, TypeError) as error:
            raise StorageError(f"The study database {self._path} has a damaged row ({error}); restore it.") from error

    def _all(self, kind: type[R], table: str, study: str, *, scores: bool = True) -> list[R]:
        with sqlite_faults(self._path):
            columns = ", ".join(name for name in columns_of(self._database, table) if scores or name != "scores")
            found = self._database.table(table).rows_where("study = ?", [study], select=columns, order_by="rowid")
            rows = list(found)
        return self._records(kind, rows)


def _connect(path: Path, busy_seconds: float, options: str) -> sqlite3.Connection:
    connection = sqlite3.connect(f"file:{quote(str(path))}?{options}", uri=True, timeout=busy_seconds)
    try:
        connection.execute("select count(*) from sqlite_master").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _read_only(path: Path, busy_seconds: float) -> sqlite3.Connection:
    """A file in WAL mode needs an index beside it; in a folder that cannot be written it is read as it is instead.

    That is safe where no log lies beside it: then nobody writes to it.
    """
    try:
        return _connect(path, busy_seconds, "mode=ro")
    except sqlite3.OperationalError as error:
        no_index = error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
        if not no_index or Path(f"{path}-wal").exists():
            raise
        return _connect(path, busy_seconds, "mode=ro&immutable=1")
