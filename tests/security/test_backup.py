from __future__ import annotations

import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from ecad_automl.errors import StorageError
from storage import Store, writer_lock
from storage.backup import Backups, back_up, restore
from storage.check import check_database

Disk = Callable[..., Path]


def rows(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)


def test_a_backup_is_the_whole_study_in_one_file(database: Path) -> None:
    backup = back_up(database)
    assert backup == Path(f"{database}.backup")
    assert rows(backup) == rows(database)
    assert check_database(backup).findings == ()
    assert {path.name for path in database.parent.iterdir()} <= {
        *("study.db", "study.db.backup", "study.db-wal", "study.db-shm")
    }


def test_a_backup_is_made_while_another_connection_writes(database: Path) -> None:
    with Store.open(database) as store, closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("begin immediate")
        other.execute("delete from ecad_evaluations")
        backup = back_up(database)
        other.execute("rollback")
        assert len(store.evaluations("tiny")) >= 12
    with Store.open(backup, read_only=True) as copy:
        assert len(copy.evaluations("tiny")) >= 12


def test_what_is_only_in_the_log_is_in_the_backup(database: Path) -> None:
    with closing(sqlite3.connect(database)) as writer:
        writer.execute("pragma wal_autocheckpoint = 0")
        writer.execute("insert into ecad_meta values ('added', 'yes')")
        writer.commit()
        backup = back_up(database)
    with closing(sqlite3.connect(backup)) as connection:
        assert connection.execute("select value from ecad_meta where key = 'added'").fetchone() == ("yes",)


def test_a_damaged_file_does_not_replace_its_backup(database: Path) -> None:
    backup = back_up(database)
    before = backup.read_bytes()
    damage(database)
    with pytest.raises(StorageError, match=r"is damaged; its backup of .* is put in its place by"):
        back_up(database)
    with pytest.raises(StorageError, match="is damaged"):
        Backups(database).after_generation(0)
    assert backup.read_bytes() == before
    assert not list(database.parent.glob(".*.tmp*"))


def test_a_study_begun_anew_does_not_replace_the_backup_of_the_one_before(database: Path) -> None:
    before = back_up(database).read_bytes()
    database.unlink()
    with Store.open(database) as store:
        store.claim_study("tiny", {})
    back_up(database)
    assert Path(f"{database}.backup.1").read_bytes() == before


def test_a_backup_is_made_every_so_many_generations(database: Path) -> None:
    backup = Path(f"{database}.backup")
    Backups(database, every=0).after_generation(0)
    Backups(database, every=3).after_generation(2)
    assert not backup.exists()
    assert Backups(database, every=3).after_generation(3) is None
    assert backup.exists()
    with pytest.raises(StorageError, match="A backup every -1 generations"):
        Backups(database, every=-1)


def test_restoring_keeps_the_old_file_and_its_log(database: Path) -> None:
    back_up(database)
    sound = rows(database)
    damage(database)
    log = Path(f"{database}-wal")
    log.write_bytes(b"writes that are not merged")
    assert restore(database) == Path(f"{database}.damaged")
    assert rows(database) == sound
    assert Path(f"{database}.damaged-wal").read_bytes() == b"writes that are not merged"
    assert restore(database) == Path(f"{database}.damaged.1")
    database.unlink()
    assert restore(database) is None
    assert check_database(database).findings == ()


def test_nothing_is_restored_under_a_running_search_or_from_nothing(database: Path) -> None:
    with pytest.raises(StorageError, match="There is no backup"):
        restore(database)
    back_up(database)
    before = database.read_bytes()
    with writer_lock(database), pytest.raises(StorageError, match="Another search"):
        restore(database)
    damage(Path(f"{database}.backup"))
    with pytest.raises(StorageError, match="is damaged"):
        restore(database)
    assert database.read_bytes() == before


def test_a_full_disk_costs_the_backup_alone(database: Path, small_disk: Disk) -> None:
    size = database.stat().st_size // 1024
    disk = small_disk(3 * size)
    path = Path(shutil.copy(database, disk / "study.db"))
    before = back_up(path).read_bytes()
    (disk / "other").write_bytes(bytes(size * 1024 - 32 * 1024))
    told = Backups(path).after_generation(1)
    assert told is not None
    assert "could not be written" in told
    assert "\n" not in told
    assert Path(f"{path}.backup").read_bytes() == before
    assert sorted(file.name for file in disk.iterdir() if file.name.endswith("tmp")) == []
    assert check_database(path).findings == ()


_LOOP = """
import sys
from storage.backup import back_up
while True:
    back_up(sys.argv[1])
    print(flush=True)
"""


def test_a_process_that_is_killed_leaves_a_whole_backup(database: Path) -> None:
    back_up(database)
    for seed in range(2):
        process = subprocess.Popen([sys.executable, "-c", _LOOP, str(database)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(random.Random(seed).uniform(0, 0.02))
        process.kill()
        process.wait()
        process.stdout.close()
        assert rows(Path(f"{database}.backup")) == rows(database)
    assert rows(back_up(database)) == rows(database)
