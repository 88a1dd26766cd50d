from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ecad_automl.errors import StorageError
from storage import writer_lock

HOLDER = """
import sys, time
from storage import writer_lock
with writer_lock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(120)
"""


def test_one_process_at_a_time_holds_the_lock_and_a_kill_frees_it(path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    try:
        assert child.stdout.readline() == "held\n"
        with pytest.raises(StorageError, match=rf"process {child.pid}\) is running on .*study\.db"), writer_lock(path):
            pytest.fail("the lock was given twice")
    finally:
        child.send_signal(signal.SIGKILL)
        child.communicate(timeout=60)
    with writer_lock(path):
        assert path.with_name("study.db.lock").read_text() == f"{os.getpid()}\n"


def test_the_lock_goes_away_with_its_block(path: Path) -> None:
    for _ in range(2):
        with (
            writer_lock(path),
            pytest.raises(StorageError, match="is running"),
            writer_lock(f"sqlite:///{path}"),
        ):
            pytest.fail("the lock was given twice")
        assert list(path.parent.iterdir()) == []


def test_an_error_inside_frees_the_lock(path: Path) -> None:
    with pytest.raises(KeyError), writer_lock(path):
        raise KeyError("x")
    with writer_lock(path):
        pass


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="check that its folder exists"), writer_lock(tmp_path / "none" / "a.db"):
        pytest.fail("a lock without a file")


def test_who_waits_gets_the_lock_when_it_is_free_and_is_told_of_it_once(path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    said: list[str] = []

    def waiting(text: str) -> None:
        said.append(text)
        child.kill()
        child.communicate(timeout=60)

    with writer_lock(path, wait=120, waiting=waiting):
        assert said == [f"Another search (process {child.pid}) is running on {path}; waiting for it to end."]
        assert path.with_name("study.db.lock").read_text() == f"{os.getpid()}\n"


def test_who_waits_for_too_short_is_refused(path: Path) -> None:
    said: list[str] = []
    with (
        writer_lock(path),
        pytest.raises(StorageError, match="is running on"),
        writer_lock(path, wait=0.2, waiting=said.append),
    ):
        pytest.fail("the lock was given twice")
    assert len(said) == 1
