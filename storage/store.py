"""The study database: Optuna's tables and ours, in a SQLite file or on a server."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from ecad_automl.errors import StorageError, StudyError
from storage.faults import BUSY_SECONDS
from storage.identity import differences
from storage.location import is_server
from storage.lock import WriterLock
from storage.records import BaselineRecord, ConfirmationRecord, EvaluationRecord, GenerationRecord, now
from storage.tables import COLUMNS, from_row, json_value, to_row

__all__ = ["Store"]

R = TypeVar("R", EvaluationRecord, BaselineRecord, GenerationRecord, ConfirmationRecord)


class Store(ABC):
    """Our tables of a study database. Each write is one transaction, on the disk when the call returns.

    Made by :meth:`open`; a context manager that closes itself. One process writes to a study at a time, any number
    read. Every method raises :class:`~ecad_automl.errors.StorageError` where the database cannot do what is asked.
    """

    @staticmethod
    def open(
        location: str | Path,
        *,
        create: bool = True,
        read_only: bool = False,
        busy_seconds: float = BUSY_SECONDS,
        lock: WriterLock | None = None,
    ) -> Store:
        """Open a study database.

        Args:
            location: a path or ``sqlite:///`` URL, or the URL of a PostgreSQL or MySQL database.
            create: make the file, if it is one, and our tables where they are missing.
            read_only: write nothing, not even on opening; implies that nothing is made.
            busy_seconds: how long to wait for another writer.
            lock: what :func:`~storage.writer_lock` gave. A server forgets it when a connection breaks; with it here,
                every write makes sure that it is still held.

        Raises:
            StorageError: the location is no database of ours, is locked, cannot be reached, read or written, or was
                written by a newer version.
        """
        if is_server(location):
            from storage.server_store import open_server_store

            return open_server_store(location, create=create, read_only=read_only, busy_seconds=busy_seconds, lock=lock)
        from storage.sqlite_store import open_sqlite_store

        return open_sqlite_store(location, create=create, read_only=read_only, busy_seconds=busy_seconds)

    @property
    @abstractmethod
    def location(self) -> str:
        """Where the database is, for people: without a password."""

    @property
    @abstractmethod
    def path(self) -> Path | None:
        """The file; None where the database is on a server."""

    @abstractmethod
    def close(self) -> None:
        """Close the database; may be called twice."""

    @abstractmethod
    def trial_attributes(self, study: str, key: str, *, system: bool = False) -> dict[int, Any]:
        """An attribute of the trials of the Optuna study of the same name, read without Optuna.

        Args:
            study: its name.
            key: of the attribute; ``%`` stands for any text, as in SQL.
            system: whether it is one of Optuna's own.

        Returns:
            Values by the number of the trial; empty where Optuna has no tables here.
        """

    @abstractmethod
    def _put(self, table: str, row: Mapping[str, Any]) -> None:
        """Keep a row, in the place of the one with the same key, in a transaction of its own."""

    @abstractmethod
    def _claim(self, row: Mapping[str, Any]) -> str:
        """Keep a row of ``ecad_studies`` unless there is one of the study; the identity that is there then."""

    @abstractmethod
    def _get(self, table: str, columns: Sequence[str], where: Mapping[str, str]) -> list[dict[str, Any]]:
        """The rows with the given values, in the order in which their keys were first kept."""

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
        stored = self._identity(self._claim({"study": name, "identity": json.dumps(given), "created": now()}))
        found = differences(stored, given)
        if found:
            more = f" and {len(found) - 5} more" if len(found) > 5 else ""
            raise StudyError(
                f"The study {name!r} in {self.location} was started with something else: {'; '.join(found[:5])}{more}; "
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

    def calibration(self, study: str, name: str) -> bytes | None:
        """The bytes kept under a name, or None."""
        rows = self._get("ecad_calibration", ["data"], {"study": study, "name": name})
        return bytes(rows[0]["data"]) if rows else None

    def _records(self, kind: type[R], table: str, where: Mapping[str, str], *, scores: bool = True) -> list[R]:
        columns = [name for name in COLUMNS[table] if scores or name != "scores"]
        rows = self._get(table, columns, where)
        with self._damaged_rows():
            return [from_row(kind, row) for row in rows]

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
