"""The study database: our tables beside Optuna's, in a SQLite file or on a PostgreSQL server."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from ecad_automl.errors import EcadError, StorageError, StudyError
from ecad_automl.schedules.genomes import Genomes
from ecad_automl.schedules.layout import Layout
from storage.faults import BUSY_SECONDS, is_deadlock, storage_faults
from storage.identity import described, differences
from storage.location import database_path, is_server, redacted
from storage.lock import WriterLock, table_lock
from storage.records import (
    COLUMNS,
    DRIFT,
    KEYS,
    SCHEMA_VERSION,
    BaselineRecord,
    ConfirmationRecord,
    EvaluationRecord,
    GenerationRecord,
    check_version,
    drift_of,
    from_row,
    json_value,
    now,
    row_key,
    to_row,
)

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

R = TypeVar("R", EvaluationRecord, BaselineRecord, GenerationRecord, ConfirmationRecord)
T = TypeVar("T")

#: A transaction that was undone, or whose connection had broken, is tried so many times.
_TRIES = 5


class Store:
    """Our tables of a study database. Each write is one transaction, on the disk when the call returns.

    Made by :meth:`open`; a context manager that closes itself. One process writes to a study at a time, any number
    read. Every method raises :class:`~ecad_automl.errors.StorageError` where the database cannot do what is asked.

    Args:
        location: a path or URL.
        engine: of SQLAlchemy, for it.
        lock: that must be held whenever something is written; None where nobody cares.
    """

    def __init__(self, location: str | Path, engine: Engine, lock: WriterLock | None = None) -> None:
        from storage._schema import Schema

        self._given = location
        self._path = None if is_server(location) else database_path(location)
        self._engine = engine
        self._schema = Schema(engine.dialect.name)
        self._lock = lock
        self._missing: set[tuple[str, str | None]] = set()
        self._closed = False

    @classmethod
    def open(
        cls,
        location: str | Path,
        *,
        read_only: bool = False,
        busy_seconds: float = BUSY_SECONDS,
        lock: WriterLock | None = None,
    ) -> Self:
        """Open a study database.

        Args:
            location: a path or ``sqlite:///`` URL, or the URL of a PostgreSQL database.
            read_only: write nothing; else a file and our tables are made where they are missing.
            busy_seconds: how long to wait for another writer.
            lock: what :func:`~storage.writer_lock` gave. A server forgets it when a connection breaks; with it here,
                every write makes sure that it is still held.

        Raises:
            StorageError: the location is no database of ours, is locked, cannot be reached, read or written, or was
                written by a newer version.
        """
        with storage_faults(location):
            store = cls(location, _engine(location, read_only, busy_seconds), lock)
            try:
                store._prepare(create=not read_only, busy_seconds=busy_seconds)
            except BaseException:
                store.close()
                raise
        return store

    @property
    def location(self) -> str:
        """Where the database is, for people: without a password."""
        return redacted(self._given) if self._path is None else str(self._path)

    @property
    def path(self) -> Path | None:
        """The file; None where the database is on a server."""
        return self._path

    def close(self) -> None:
        """Close the database; may be called twice."""
        self._closed = True
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
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
        stored = self._identity(self._claim({"study": name, "identity": json.dumps(given), "created": now()}))
        if found := differences(stored, given):
            raise StudyError(
                f"The study {name!r} in {self.location} was started with something else: {described(found)}; "
                "run it as it was started, or choose another study name."
            )

    def studies(self) -> list[str]:
        """Names of the studies, oldest first."""
        return [row["study"] for row in self._get("ecad_studies", ["study"], {})]

    def identity(self, study: str) -> dict[str, Any] | None:
        """What a study was claimed with, or None where there is no such study."""
        rows = self._get("ecad_studies", ["identity"], {"study": study})
        return self._identity(rows[0]["identity"]) if rows else None

    def save_evaluation(self, study: str, record: EvaluationRecord) -> None:
        """Keep an evaluation, in place of an earlier one of the same genome. Call it before Optuna's ``tell``."""
        self._put("ecad_evaluations", to_row(study, record))

    def evaluation(self, study: str, genome: str) -> EvaluationRecord | None:
        """The evaluation of a genome, or None where it was not evaluated."""
        found = self._records(EvaluationRecord, "ecad_evaluations", {"study": study, "genome": genome})
        return found[0] if found else None

    def evaluations(self, study: str, *, scores: bool = True) -> list[EvaluationRecord]:
        """All evaluations of a study, oldest first.

        Args:
            study: its name.
            scores: whether to read the per-image scores; without them large studies load much faster.
        """
        return self._records(EvaluationRecord, "ecad_evaluations", {"study": study}, scores=scores)

    def save_baseline(self, study: str, record: BaselineRecord) -> None:
        """Keep a baseline, in place of an earlier one of the same name."""
        self._put("ecad_baselines", to_row(study, record))

    def baselines(self, study: str) -> dict[str, BaselineRecord]:
        """The baselines of a study by name, oldest first."""
        found = self._records(BaselineRecord, "ecad_baselines", {"study": study})
        return {record.name: record for record in found}

    def save_generation(self, study: str, record: GenerationRecord) -> None:
        """Keep the figures of a generation, in place of earlier ones of the same number."""
        self._put("ecad_generations", to_row(study, record))

    def generations(self, study: str) -> list[GenerationRecord]:
        """The generations of a study in order."""
        found = self._records(GenerationRecord, "ecad_generations", {"study": study})
        return sorted(found, key=lambda record: record.generation)

    def save_confirmation(self, study: str, record: ConfirmationRecord) -> None:
        """Keep the scores of a run on unseen prompts, in place of earlier ones of the same run and sample."""
        self._put("ecad_confirmations", to_row(study, record))

    def confirmations(self, study: str) -> list[ConfirmationRecord]:
        """The runs of a study that were scored on unseen prompts, oldest first."""
        return self._records(ConfirmationRecord, "ecad_confirmations", {"study": study})

    def save_calibration(self, study: str, name: str, data: bytes) -> None:
        """Keep bytes of the calibration, such as the drift, in place of earlier ones of the same name."""
        self._put("ecad_calibration", {"study": study, "name": name, "data": bytes(data), "created": now()})

    def genomes(self, study: str) -> Genomes:
        """What reads the genomes of a study.

        Raises:
            StorageError: the study does not say which slots and steps its schedules have.
        """
        identity = self.identity(study) or {}
        try:
            layout, steps = Layout.from_dict(identity["layout"]), int(identity["generation"]["steps"])
        except (KeyError, TypeError, ValueError, EcadError) as error:
            raise StorageError(
                f"The study {study!r} in {self.location} does not say which slots and steps its schedules have "
                f"({type(error).__name__}: {error}); restore the file."
            ) from error
        # The file may be closed by the time that a schedule is read.
        kept = {
            row["name"]: bytes(row["data"])
            for row in self._get("ecad_calibration", ["name", "data"], {"study": study})
            if str(row["name"]).startswith(DRIFT)
        }
        fitted = {
            str(row["genome"]): str(row["fitted"])
            for row in self._get("ecad_evaluations", ["genome", "fitted"], {"study": study})
            if row.get("fitted")  # of which studies of earlier versions have none
        }
        return Genomes(layout, steps, lambda: kept.get(DRIFT), lambda count: kept.get(drift_of(count)), fitted=fitted)

    def calibration(self, study: str, name: str) -> bytes | None:
        """The bytes kept under a name, or None."""
        rows = self._get("ecad_calibration", ["data"], {"study": study, "name": name})
        return bytes(rows[0]["data"]) if rows else None

    def trial_attributes(self, study: str, key: str, *, system: bool = False) -> dict[int, Any]:
        """An attribute of the trials of the Optuna study of the same name, read without Optuna, which takes long.

        Args:
            study: its name.
            key: of the attribute; ``%`` stands for any text, as in SQL.
            system: whether it is one of Optuna's own.

        Returns:
            Values by the number of the trial; empty where Optuna has no tables here.
        """
        from sqlalchemy import inspect, text

        table = "trial_system_attributes" if system else "trial_user_attributes"
        query = text(
            "select t.number, a.value_json from trials t join studies s on s.study_id = t.study_id "  # noqa: S608
            f"join {table} a on a.trial_id = t.trial_id where s.study_name = :study and a.key like :key"
        )
        if not self._run(lambda connection: inspect(connection).has_table("trials")):
            return {}
        rows = self._run(lambda connection: connection.execute(query, {"study": study, "key": key}).all())
        with self._damaged_rows():
            return {number: json.loads(value) for number, value in rows}

    def _records(self, kind: type[R], table: str, where: Mapping[str, str], *, scores: bool = True) -> list[R]:
        columns = [name for name in COLUMNS[table] if scores or name != "scores"]
        with self._damaged_rows():
            return [from_row(kind, row) for row in self._get(table, columns, where)]

    def _identity(self, text: str) -> dict[str, Any]:
        with self._damaged_rows():
            return dict(json.loads(text))

    @contextmanager
    def _damaged_rows(self) -> Iterator[None]:
        try:
            yield
        except (ValueError, TypeError, RecursionError, OverflowError) as error:
            raise StorageError(
                f"The study database {self.location} has a damaged row ({error}); restore it."
            ) from error

    # Tables

    def _prepare(self, *, create: bool, busy_seconds: float) -> None:
        """Check that our tables are there, in a version that this code can use, and make them if asked."""
        if create and self._path is not None:
            with self._engine.connect() as connection:
                connection.exec_driver_sql("pragma journal_mode = wal").close()
        self._missing = self._run(self._schema.missing)
        is_new = ("ecad_meta", None) in self._missing
        if is_new and not create:
            raise StorageError(
                f"The database {self.location} holds no study of ecad-automl; check the "
                f"{'path' if self._path else 'URL'}, or start a search to make one."
            )
        if not is_new:
            self._check_version()
        if self._missing and create:
            with table_lock(self._given, busy_seconds):
                self._run(self._create, write=True)
            self._missing = set()
            self._check_version()

    def _create(self, connection: Connection) -> None:
        self._schema.create(connection)
        version = {"key": "schema_version", "value": str(SCHEMA_VERSION)}
        self._insert(connection, "ecad_meta", version, replace=False)

    def _check_version(self) -> None:
        found = self._get("ecad_meta", ["value"], {"key": "schema_version"})
        check_version(found[0]["value"] if found else None, self.location)

    def _put(self, table: str, row: Mapping[str, Any]) -> None:
        """Keep a row, in the place of the one with the same key, in a transaction of its own."""
        self._run(lambda connection: self._insert(connection, table, row, replace=True), write=True)

    def _insert(self, connection: Connection, table: str, row: Mapping[str, Any], *, replace: bool) -> None:
        connection.execute(self._schema.insert(table, replace=replace), self._keyed(table, row))

    def _keyed(self, table: str, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """A row, or values of one, with what stands for the key on a server."""
        keyed = self._path is None and row.keys() >= set(KEYS[table])
        return {**row, "row_key": row_key(table, row)} if keyed else row

    def _claim(self, row: Mapping[str, Any]) -> str:
        """Keep a row of ``ecad_studies`` unless there is one of the study; the identity that is there then."""
        query = self._schema.select("ecad_studies", ["identity"], ["study"])

        def claim(connection: Connection) -> str:
            self._insert(connection, "ecad_studies", row, replace=False)
            return str(connection.execute(query, self._keyed("ecad_studies", {"study": row["study"]})).scalar_one())

        return self._run(claim, write=True)

    def _get(self, table: str, columns: Sequence[str], where: Mapping[str, str]) -> list[dict[str, Any]]:
        """The rows with the given values, in the order in which their keys were first kept."""
        if (table, None) in self._missing:
            return []
        query = self._schema.select(
            table, [name for name in columns if (table, name) not in self._missing], list(where)
        )
        values = self._keyed(table, where)
        return self._run(lambda connection: [dict(row) for row in connection.execute(query, values).mappings()])

    def _run(self, work: Callable[[Connection], T], *, write: bool = False) -> T:
        """Do something that may be done twice in a transaction."""
        from sqlalchemy.exc import DBAPIError

        with storage_faults(self._given):
            if self._closed:
                raise StorageError(f"The study database {self.location} is closed; open it again.")
            for tried in range(1, _TRIES + 1):
                try:
                    with self._engine.begin() as connection:
                        if write and self._path is not None:
                            # Take the write lock first, so that what is read inside cannot change before the write.
                            connection.exec_driver_sql("begin immediate")
                        if write and self._lock is not None:
                            self._lock.ensure()
                        return work(connection)
                except DBAPIError as error:
                    if tried == _TRIES or not (is_deadlock(error) or error.connection_invalidated):
                        raise
                time.sleep(random.uniform(0, 0.1 * tried))  # noqa: S311 - not for secrets
            raise AssertionError


def _engine(location: str | Path, read_only: bool, busy_seconds: float) -> Engine:
    if is_server(location):
        from storage.server import make_engine

        return make_engine(
            location,
            read_only=read_only,
            busy_seconds=busy_seconds,
            pool_size=1,
            # What another process has committed is seen by the next query.
            isolation_level="READ COMMITTED",
        )
    from sqlalchemy import StaticPool, create_engine

    from storage.sqlite_file import connect, connect_read_only

    path = database_path(location)
    if read_only and not path.exists():
        raise StorageError(f"There is no study database at {path}; check the path, or start a search to make it.")
    connector = partial(connect_read_only if read_only else connect, path, busy_seconds)
    return create_engine("sqlite://", creator=connector, poolclass=StaticPool)
