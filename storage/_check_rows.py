"""Reading the tables of a study database that may be damaged: what cannot be read becomes a finding."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass, field
from typing import Any

__all__ = ["DATABASE_ERRORS", "Finding", "Rows", "TrialRow"]

#: What sqlite3 raises of a damaged file; the second where a message quotes damaged bytes.
DATABASE_ERRORS = (sqlite3.Error, UnicodeDecodeError)


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        kind: ``file``, ``study``, ``evaluation``, ``trial``, ``baseline``, ``generation`` or ``confirmation``.
        text: what is wrong, in one sentence.
        study: of which study, if of one.
        trial: number of the trial, if it is about one.
    """

    kind: str
    text: str
    study: str | None = None
    trial: int | None = None

    def __post_init__(self) -> None:
        # Damaged texts are quoted, and may have line ends.
        object.__setattr__(self, "text", " ".join(self.text.split()))


@dataclass
class TrialRow:
    """What Optuna's tables say of a trial.

    Attributes:
        number: of the trial in its study.
        state: ``COMPLETE``, ``PRUNED``, ``RUNNING``, ``WAITING`` or ``FAIL``.
        values: by objective; None where a value is not finite.
        attributes: user attributes; None for one that is no JSON.
        generation: as the sampler counts them; 0 where it does not say.
    """

    number: int
    state: str
    values: dict[int, float | None] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    generation: int = 0


class Rows:
    """The rows of a database.

    Optuna cannot be asked for trials: of damaged tables it gives none.

    Args:
        connection: in a transaction, so that all is of one state.

    Attributes:
        findings: tables that could not be read, each once.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._connection.row_factory = sqlite3.Row
        self._failed: set[str] = set()
        self.findings: list[Finding] = []

    def names(self) -> set[str]:
        """Of the tables."""
        return {str(row["name"]) for row in self.read("sqlite_master", "select name from sqlite_master")}

    def of(self, table: str, study: str) -> list[dict[str, Any]]:
        """The rows of one of our tables that are of a study, oldest first."""
        return self.read(table, f"select * from {table} where study = ? order by rowid", study)  # noqa: S608

    def studies(self, table: str = "ecad_studies", column: str = "study") -> list[str]:
        """Names of the studies that a table has rows of, oldest first."""
        rows = self.read(table, f"select {column} from {table} group by {column} order by min(rowid)")  # noqa: S608
        return [str(row[column]) for row in rows]

    def trials(self, study: str) -> list[TrialRow]:
        """The trials of Optuna's study, by number."""
        found = {
            row["trial_id"]: TrialRow(row["number"], str(row["state"]))
            for row in self._of_trials("trials", "number, v.state", study)
        }
        for row in self._of_trials("trial_values", "objective, v.value, v.value_type", study):
            if (trial := found.get(row["trial_id"])) is not None:
                trial.values[row["objective"]] = row["value"] if row["value_type"] == "FINITE" else None
        for table in ("trial_user_attributes", "trial_system_attributes"):
            for row in self._of_trials(table, "key, v.value_json", study):
                trial, key, value = found.get(row["trial_id"]), str(row["key"]), _json(row["value_json"])
                if trial is not None and table == "trial_user_attributes":
                    trial.attributes[key] = value
                elif trial is not None and key.endswith(":generation") and isinstance(value, int):
                    trial.generation = value
        return sorted(found.values(), key=lambda trial: trial.number if isinstance(trial.number, int) else -1)

    def _of_trials(self, table: str, columns: str, study: str) -> list[dict[str, Any]]:
        query = (
            f"select v.trial_id, v.{columns} from {table} v join trials t on t.trial_id = v.trial_id "  # noqa: S608
            "join studies s on s.study_id = t.study_id where s.study_name = ?"
        )
        return self.read(table, query, study)

    def read(self, table: str, query: str, *arguments: str) -> list[dict[str, Any]]:
        """The rows that a query gives, up to a damage."""
        rows: list[dict[str, Any]] = []
        try:
            for row in self._connection.execute(query, arguments):
                rows.append(dict(row))  # noqa: PERF401 - those before the damage are kept
        except DATABASE_ERRORS as error:
            if table not in self._failed:
                self._failed.add(table)
                self.findings.append(Finding("file", f"The table {table} cannot be read whole: {error}."))
        return rows


def _json(text: Any) -> Any:
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return None
