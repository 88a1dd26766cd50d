"""The study database: one SQLite file that holds Optuna's tables and ours, and the front that is read from it."""

from storage.faults import BUSY_SECONDS, sqlite_faults
from storage.front import Costly, by_gmacs, by_latency, choose_by_drop, choose_by_speedup, choose_trial, front, knee
from storage.location import database_path, optuna_url
from storage.lock import writer_lock
from storage.optuna_file import open_optuna_storage
from storage.records import BaselineRecord, ConfirmationRecord, EvaluationRecord, GenerationRecord, Scores
from storage.scores import ScoreFile
from storage.store import Store

__all__ = [
    "BUSY_SECONDS",
    "BaselineRecord",
    "ConfirmationRecord",
    "Costly",
    "EvaluationRecord",
    "GenerationRecord",
    "ScoreFile",
    "Scores",
    "Store",
    "by_gmacs",
    "by_latency",
    "choose_by_drop",
    "choose_by_speedup",
    "choose_trial",
    "database_path",
    "front",
    "knee",
    "open_optuna_storage",
    "optuna_url",
    "sqlite_faults",
    "writer_lock",
]
