from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ecad_automl.errors import StorageError
from storage import EvaluationRecord, Store, open_optuna_storage

Make = Callable[..., EvaluationRecord]


def run(code: str, *arguments: Path | str) -> str:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_file_of_something_else_is_refused_and_left_alone(path: Path) -> None:
    content = b"prompt,reward\n" * 1000
    path.write_bytes(content)
    for open_file in (Store.open, open_optuna_storage, lambda path: Store.open(path, read_only=True)):
        with pytest.raises(StorageError, match=r"study\.db is no SQLite file; check the path") as raised:
            open_file(path)
        assert "\n" not in str(raised.value)
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def test_a_damaged_page_is_a_storage_error(path: Path, make_evaluation: Make) -> None:
    with Store.open(path) as store:
        for index in range(200):
            store.save_evaluation("study", make_evaluation(f"{index:08x}"))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("pragma wal_checkpoint(truncate)").fetchone()
        (size,) = connection.execute("pragma page_size").fetchone()
    content = bytearray(path.read_bytes())
    content[size:] = b"\xa5" * (len(content) - size)
    path.write_bytes(bytes(content))
    with pytest.raises(StorageError, match=r"is damaged; restore it from a copy"), Store.open(path) as store:
        store.evaluations("study")


def test_a_cut_off_file_is_a_storage_error(path: Path, make_evaluation: Make) -> None:
    with Store.open(path) as store:
        for index in range(200):
            store.save_evaluation("study", make_evaluation(f"{index:08x}"))
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(StorageError, match="is damaged"), Store.open(path) as store:
        store.evaluations("study")


def test_a_lock_held_by_another_is_given_up_after_the_set_time(path: Path, make_evaluation: Make) -> None:
    Store.open(path).close()
    with closing(sqlite3.connect(path)) as other, Store.open(path, busy_seconds=0.3) as store:
        other.execute("begin immediate")
        began = time.monotonic()
        with pytest.raises(StorageError, match="is locked by another process for too long; close what else writes"):
            store.save_evaluation("study", make_evaluation())
        assert 0.2 < time.monotonic() - began < 20
        assert store.evaluations("study") == []  # reading goes on
        other.execute("rollback")
        store.save_evaluation("study", make_evaluation())
        assert len(store.evaluations("study")) == 1


def test_an_exclusive_lock_keeps_both_storages_from_opening(path: Path) -> None:
    Store.open(path).close()
    with closing(sqlite3.connect(path)) as other:
        other.execute("pragma locking_mode = exclusive")
        other.execute("begin exclusive")
        with pytest.raises(StorageError, match="is locked"):
            Store.open(path, busy_seconds=0.2)
        with pytest.raises(StorageError, match="is locked"):
            open_optuna_storage(path, busy_seconds=0.2)
    Store.open(path).close()


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    for open_file in (Store.open, open_optuna_storage):
        with pytest.raises(StorageError, match=r"none/study\.db cannot be opened; check that its folder exists"):
            open_file(tmp_path / "none" / "study.db")


FULL_DISK = """
import resource, sys
from ecad_automl.errors import StorageError
from storage import EvaluationRecord, Store
import numpy as np
scores = {"reward": np.zeros(20_000, np.float32)}
with Store.open(sys.argv[1]) as store:
    size = 2_000_000
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    for index in range(1000):
        try:
            store.save_evaluation("study", EvaluationRecord(f"{index:04x}", 1.0, 1.0, 0.0, scores=scores))
        except StorageError as error:
            print(error)
            break
        print(f"kept {index:04x}")
"""


def test_a_disk_that_fills_up_is_a_clear_error_and_loses_nothing(path: Path) -> None:
    *kept, message = run(FULL_DISK, path).splitlines()
    assert len(kept) >= 10
    assert "could not be read or written; check the disk" in message or "the disk is full" in message
    with Store.open(path) as store:
        assert {f"kept {record.genome}" for record in store.evaluations("study")} == set(kept)


def test_a_full_database_is_a_clear_error(path: Path) -> None:
    with Store.open(path) as store:
        with store._engine.connect() as connection:
            pages = connection.exec_driver_sql("pragma page_count").scalar_one()
            connection.exec_driver_sql(f"pragma max_page_count = {pages}").close()
        with pytest.raises(StorageError, match="cannot grow, the disk is full; make room"):
            store.save_calibration("study", "drift", b"\0" * 1_000_000)
        assert store.calibration("study", "drift") is None


@pytest.fixture
def guarded() -> Iterator[Path]:
    """A folder that a process without privileges can enter and read, but not write."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


UNPRIVILEGED = """
import os, sys
from ecad_automl.errors import StorageError
from storage import EvaluationRecord, Store, open_optuna_storage
open_optuna_storage(sys.argv[2])  # the modules must be loaded while they can be read
Store.open(sys.argv[2]).close()
if os.getuid() == 0:
    os.setuid(65534)
path = sys.argv[1]
with Store.open(path, read_only=True) as store:
    print(len(store.evaluations("study")))
    try:
        store.save_evaluation("study", EvaluationRecord("bb", 1.0, 1.0, 0.0))
    except StorageError as error:
        print(error)
for write in (lambda: Store.open(path).claim_study("other", {}), lambda: open_optuna_storage(path)):
    try:
        write()
    except StorageError as error:
        print(error)
"""


def test_a_file_that_may_only_be_read_can_be_read_and_says_so_when_written(
    guarded: Path, tmp_path: Path, make_evaluation: Make
) -> None:
    path = guarded / "study.db"
    with Store.open(path) as store:
        store.save_evaluation("study", make_evaluation())
    path.chmod(0o444)
    guarded.chmod(0o555)
    found, *messages = run(UNPRIVILEGED, path, tmp_path / "other.db").splitlines()
    guarded.chmod(0o755)
    assert found == "1"
    assert len(messages) == 3
    for message in messages:
        assert str(path) in message
        assert "cannot be written; check the permissions" in message or "cannot be opened; check that" in message


def test_writing_through_a_reader_is_refused(path: Path, make_evaluation: Make) -> None:
    Store.open(path).close()
    with Store.open(path, read_only=True) as store, pytest.raises(StorageError, match="cannot be written"):
        store.save_evaluation("study", make_evaluation())
