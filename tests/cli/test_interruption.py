"""Real processes: stopped by Ctrl-C, out of disk, beside another one."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from storage import Store
from tests.forked import Forked

Start = Callable[..., Forked]
Arguments = Callable[[Path, int], list[str]]
Cli = Callable[..., tuple[int, str, str]]


def evaluated(folder: Path) -> set[str]:
    database = folder / "study.db"
    if not database.exists():
        return set()
    with Store.open(database) as store:
        return {record.genome for record in store.evaluations("tiny", scores=False)}


def wait_for(folder: Path, count: int, process: Forked) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if len(evaluated(folder)) >= count:
            return
        time.sleep(0.05)
    raise AssertionError(f"{count} evaluations were not reached: {process.communicate()}")


@pytest.mark.slow
def test_ctrl_c_stops_cleanly_and_the_same_command_goes_on(
    tmp_path: Path, start_cli: Start, run_cli: Cli, search_arguments: Arguments
) -> None:
    process = start_cli(search_arguments(tmp_path, 200))
    wait_for(tmp_path, 8, process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert "Stopped" in err
    assert "Traceback" not in out + err
    before = evaluated(tmp_path)
    assert len(before) >= 8
    code, _, err = run_cli(*search_arguments(tmp_path, len(before) + 6))
    assert code == 0, err
    assert before < evaluated(tmp_path)


@pytest.mark.slow
def test_a_disk_that_fills_up_stops_the_search_and_the_same_command_goes_on_when_there_is_room(
    tmp_path: Path, start_cli: Start, run_cli: Cli, search_arguments: Arguments
) -> None:
    process = start_cli(search_arguments(tmp_path, 200), largest_file=1_800_000)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 2, out + err
    last = err.splitlines()[-1]
    assert re.fullmatch(r"Error: The study database .* then run the same command again \(.*\)\.", last)
    before = evaluated(tmp_path)
    assert len(before) >= 4
    code, _, err = run_cli(*search_arguments(tmp_path, len(before) + 6))
    assert code == 0, err
    assert before < evaluated(tmp_path)


@pytest.mark.slow
def test_a_second_search_on_a_busy_database_is_refused(
    tmp_path: Path, start_cli: Start, run_cli: Cli, search_arguments: Arguments
) -> None:
    process = start_cli(search_arguments(tmp_path, 200))
    try:
        wait_for(tmp_path, 3, process)
        code, _, err = run_cli(*search_arguments(tmp_path, 200))
        assert code == 2
        assert "Another search" in err
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_other_settings_under_the_same_study_name_are_refused(
    tmp_path: Path, run_cli: Cli, search_arguments: Arguments
) -> None:
    arguments = search_arguments(tmp_path, 4)
    code, _, err = run_cli(*arguments)
    assert code == 0, err
    code, _, err = run_cli(*arguments, "--guidance-scale", "2.0")
    assert code == 2
    assert "guidance_scale" in err
    assert err.splitlines()[-1].startswith("Error: ")
    assert "Traceback" not in err
