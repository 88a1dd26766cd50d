"""The study database, a file or on a server, with Optuna's tables and ours."""

from storage.backup import Backups, back_up, restore
from storage.check import CheckedFile, check_database
from storage.faults import BUSY_SECONDS, storage_faults
from storage.location import backup_path, database_path, is_server, may_exist, optuna_url, redacted, split_study
from storage.lock import WriterLock, writer_lock
from storage.optuna_storage import open_optuna_storage, open_served_storage, optuna_storage
from storage.records import (
    DRIFT,
    BaselineRecord,
    ConfirmationRecord,
    EvaluationRecord,
    GenerationRecord,
    Scores,
    drift_of,
)
from storage.store import Store

__all__ = [
    "BUSY_SECONDS",
    "DRIFT",
    "Backups",
    "BaselineRecord",
    "CheckedFile",
    "ConfirmationRecord",
    "EvaluationRecord",
    "GenerationRecord",
    "Scores",
    "Store",
    "WriterLock",
    "back_up",
    "backup_path",
    "check_database",
    "database_path",
    "drift_of",
    "is_server",
    "may_exist",
    "open_optuna_storage",
    "open_served_storage",
    "optuna_storage",
    "optuna_url",
    "redacted",
    "restore",
    "split_study",
    "storage_faults",
    "writer_lock",
]
