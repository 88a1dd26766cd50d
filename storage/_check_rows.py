"""Reading the tables of a study database that may be damaged: what cannot be read becomes a finding."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Connection


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
        connection: in a transaction, so that all is of one state. An error of a server is raised.

    Attributes:
        findings: tables of a file that could not be read, each once.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._is_file = connection.dialect.name == "sqlite"
        self._order = "rowid" if self._is_file else "id"
        self._failed: set[str] = set()
        self.findings: list[Finding] = []

    def names(self) -> set[str]:
        """Of the tables."""
        if not self._is_file:
            from sqlalchemy import inspect

            return set(inspect(self._connection).get_table_names())
        return {str(row["name"]) for row in self._read("sqlite_master", "select name from sqlite_master")}

    def of(self, table: str, study: str) -> list[dict[str, Any]]:
        """The rows of one of our tables that are of a study, oldest first."""
        return self._read(table, f"select * from {table} where study = :study order by {self._order}", study)  # noqa: S608

    def studies(self, table: str = "ecad_studies") -> list[str]:
        """Names of the studies that one of our tables has rows of, oldest first."""
        rows = self._read(table, f"select study from {table} group by study order by min({self._order})")  # noqa: S608
        return [str(row["study"]) for row in rows]

    def optuna_studies(self) -> set[str]:
        """Names of Optuna's studies."""
        return {str(row["study_name"]) for row in self._read("studies", "select study_name from studies")}

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
            "join studies s on s.study_id = t.study_id where s.study_name = :study"
        )
        return self._read(table, query, study)

    def _read(self, table: str, query: str, study: str | None = None) -> list[dict[str, Any]]:
        """The rows that a query gives, up to a damage."""
        from sqlalchemy import text
        from sqlalchemy.exc import DBAPIError

        rows: list[dict[str, Any]] = []
        try:
            for row in self._connection.execute(text(query), {} if study is None else {"study": study}).mappings():
                rows.append(dict(row))  # noqa: PERF401 - those before the damage are kept
        except (DBAPIError, UnicodeDecodeError) as error:  # the second where a message quotes damaged bytes
            if not self._is_file:
                raise
            if table not in self._failed:
                self._failed.add(table)
                said = error.orig if isinstance(error, DBAPIError) else error
                self.findings.append(Finding("file", f"The table {table} cannot be read whole: {said}."))
        return rows


def _json(text: Any) -> Any:
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return None
