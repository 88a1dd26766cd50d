"""Reading the tables of a study database that may be damaged: what cannot be read becomes a finding."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass, field
from typing import Any

from storage.findings import Finding

__all__ = ["DATABASE_ERRORS", "Rows", "TrialRow"]

#: What sqlite3 raises of a damaged file; the second where a message quotes damaged bytes.
DATABASE_ERRORS = (sqlite3.Error, UnicodeDecodeError)
#: Where Optuna keeps the constraints of a trial.
_CONSTRAINTS = "constraints:"


@dataclass
class TrialRow:
    """What Optuna's tables say of a trial.

    Attributes:
        number: of the trial in its study.
        state: ``COMPLETE``, ``PRUNED``, ``RUNNING``, ``WAITING`` or ``FAIL``.
        values: by objective; None where a value is not finite.
        attributes: user attributes that can be read.
        generation: as the sampler counts them; None where it does not say.
        faults: attributes that cannot be read.
        constraints: what Optuna was told of constraints, by name; above 0 where one is not met.
    """

    number: int
    state: str
    values: dict[int, float | None] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    generation: int | None = None
    faults: list[str] = field(default_factory=list)
    constraints: dict[str, Any] = field(default_factory=dict)


class Rows:
    """The rows of a database.

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

    def of(self, table: str, study: str) -> list[dict[str, Any]]:
        """The rows of one of our tables that are of a study, oldest first."""
        return self._read(table, f"select * from {table} where study = ? order by rowid", study)  # noqa: S608

    def has(self, table: str) -> bool:
        """Whether there is such a table."""
        return bool(self._read("sqlite_master", "select 1 from sqlite_master where name = ?", table))

    def studies(self) -> list[str]:
        """Names of the studies, oldest first."""
        rows = self._read("ecad_studies", "select study from ecad_studies order by rowid")
        return [str(row["study"]) for row in rows]

    def directions(self, study: str) -> list[str] | None:
        """What Optuna's study does with its objectives; None where there is no such study."""
        if not self._read("studies", "select study_id from studies where study_name = ?", study):
            return None
        rows = self._read(
            "study_directions",
            "select d.direction from study_directions d join studies s on s.study_id = d.study_id "
            "where s.study_name = ? order by d.objective",
            study,
        )
        return [str(row["direction"]) for row in rows]

    def trials(self, study: str) -> list[TrialRow]:
        """The trials of Optuna's study, by number."""
        found = {
            row["trial_id"]: TrialRow(row["number"], str(row["state"]))
            for row in self._read("trials", _of_trials("t.trial_id, t.number, t.state", "trials t"), study)
        }
        for row in self._of_trials("v.objective, v.value, v.value_type", "trial_values v", study):
            if (trial := found.get(row["trial_id"])) is not None:
                trial.values[row["objective"]] = row["value"] if row["value_type"] == "FINITE" else None
        for row in self._of_trials("v.key, v.value_json", "trial_user_attributes v", study):
            if (trial := found.get(row["trial_id"])) is not None:
                try:
                    trial.attributes[str(row["key"])] = json.loads(row["value_json"])
                except (ValueError, TypeError, RecursionError):
                    trial.faults.append(str(row["key"]))
        for row in self._of_trials("v.value_json", "trial_system_attributes v", study, "and v.key like '%:generation'"):
            trial, text = found.get(row["trial_id"]), str(row["value_json"])
            if trial is not None:
                trial.generation = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
        condition = f"and v.key like '{_CONSTRAINTS}%'"
        for row in self._of_trials("v.key, v.value_json", "trial_system_attributes v", study, condition):
            if (trial := found.get(row["trial_id"])) is not None:
                try:
                    trial.constraints[str(row["key"])] = json.loads(row["value_json"])
                except (ValueError, TypeError, RecursionError):
                    trial.faults.append(str(row["key"]))
        return sorted(found.values(), key=lambda trial: trial.number if isinstance(trial.number, int) else -1)

    def _of_trials(self, columns: str, table: str, study: str, condition: str = "") -> list[dict[str, Any]]:
        joined = f"{table} join trials t on t.trial_id = v.trial_id"
        query = f"{_of_trials(f't.trial_id, {columns}', joined)} {condition}"
        return self._read(table.partition(" ")[0], query, study)

    def _read(self, table: str, query: str, *arguments: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        try:
            for row in self._connection.execute(query, arguments):
                rows.append(dict(row))  # noqa: PERF401 - those before the damage are kept
        except DATABASE_ERRORS as error:
            if table not in self._failed:
                self._failed.add(table)
                self.findings.append(Finding("file", f"The table {table} cannot be read whole: {error}."))
        return rows


def _of_trials(columns: str, tables: str) -> str:
    return f"select {columns} from {tables} join studies s on s.study_id = t.study_id where s.study_name = ?"  # noqa: S608
