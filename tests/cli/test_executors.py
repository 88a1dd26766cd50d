"""Whole searches with workers in other processes, of which one, all or the search itself is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ecad_automl.errors import StorageError
from storage import Store
from tests import commands
from tests.forked import Forked

Process = Forked | subprocess.Popen[str]
Start = Callable[..., Forked]
Arguments = Callable[[Path, int], list[str]]

EVALUATIONS = 16  # of which fourteen are bred
RAY = ("--executor", "ray", "--generational")  # of two actors other tests tell
PROCESSES = ("--executor", "processes", "--workers", "2", "--generational")


def records(folder: Path) -> dict[str, Any]:
    try:
        with Store.open(folder / "study.db", read_only=True) as store:
            return {
                record.genome: (record.complete, record.reward, record.scores["fidelity"].tolist())
                for record in store.evaluations("tiny")
            }
    except StorageError:  # the file is being made
        return {}


def wait_for(folder: Path, count: int, process: Process) -> None:
    deadline = time.monotonic() + 180
    while len(records(folder)) < count:
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def children(process: int) -> Iterator[int]:
    """All descendants that run."""
    try:
        direct = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:
        return
    for child in map(int, direct):
        yield child
        yield from children(child)


def command_of(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def finish(process: Process) -> str:
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, out + err
    return out + err


@pytest.fixture
def search_arguments(search_arguments: Arguments) -> Arguments:
    """With few seeds, so that a few evaluations reach a bred generation."""
    return lambda folder, evaluations: [*search_arguments(folder, evaluations), *few_seeds(folder)]


def few_seeds(folder: Path) -> tuple[str, ...]:
    """More options of a search, and a file of them."""
    (folder / "few-seeds.toml").write_text("[method]\nstep-seeds = 2\ndrift-seeds = 1\npool = 40\n")
    return ("--config", str(folder / "few-seeds.toml"), "--heuristics", "none", "--fixed-steps")


@pytest.fixture(scope="module")
def alone(tiny_pixart_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the search finds in one process."""
    folder = tmp_path_factory.mktemp("alone")
    arguments = commands.search_arguments(folder, tiny_pixart_folder, EVALUATIONS)
    finish(commands.start([*arguments, *few_seeds(folder), "--generational"]))
    return records(folder)


@pytest.mark.slow
def test_processes_find_bit_for_bit_the_same_though_one_and_then_the_search_is_killed(
    tmp_path: Path, start_cli: Start, search_arguments: Arguments, alone: dict[str, Any]
) -> None:
    process = start_cli([*search_arguments(tmp_path, EVALUATIONS), *PROCESSES])
    wait_for(tmp_path, 7, process)
    workers = [child for child in children(process.pid) if "spawn_main" in command_of(child)]
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    wait_for(tmp_path, 11, process)
    workers = [child for child in children(process.pid) if "spawn_main" in command_of(child)]
    process.kill()
    out, err = process.communicate()
    assert "was lost and is replaced" in out + err
    deadline = time.monotonic() + 30
    while any("spawn_main" in command_of(worker) for worker in workers):
        assert time.monotonic() < deadline, "workers end with their search"
        time.sleep(0.05)
    finish(start_cli([*search_arguments(tmp_path, EVALUATIONS), "--generational"]))
    assert records(tmp_path) == alone


@pytest.mark.slow
def test_actors_of_ray_find_bit_for_bit_the_same_though_the_head_is_killed(
    tmp_path: Path,
    start_cli: Start,
    search_arguments: Arguments,
    alone: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAY_gcs_rpc_server_reconnect_timeout_s", "5")  # a minute by default
    pytest.importorskip("ray", reason="the package ray is not installed")
    process = commands.start_fresh([*search_arguments(tmp_path, EVALUATIONS), *RAY])
    wait_for(tmp_path, 10, process)
    # All that Ray has started: its head with the scheduler, and the actors.
    for child in list(children(process.pid)):
        os.kill(child, signal.SIGKILL)
    out, err = process.communicate(timeout=120)
    assert process.returncode not in (0, None), out + err
    before = records(tmp_path)
    finish(start_cli([*search_arguments(tmp_path, EVALUATIONS), "--generational"]))
    assert before.items() <= records(tmp_path).items()
    assert records(tmp_path) == alone


@pytest.mark.slow
def test_ctrl_c_ends_the_workers_too(tmp_path: Path, start_cli: Start, search_arguments: Arguments) -> None:
    process = start_cli([*search_arguments(tmp_path, 200), *PROCESSES[:2]])
    wait_for(tmp_path, 5, process)  # three are of the calibration, before there are workers
    started = list(children(process.pid))
    assert len([child for child in started if "spawn_main" in command_of(child)]) == 1
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert "Stopped" in out + err
    assert "Traceback" not in out + err
    assert not [child for child in started if "spawn_main" in command_of(child)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--executor", "slurm"], "--executor is 'slurm', but one of 'local', 'processes' or 'ray' is expected."),
        (["--workers", "3"], "'local' is one process, so it cannot have 3 workers"),
        (["--executor", "processes", "--workers", "0"], "--workers is 0, but a number of at least 1 is expected."),
        (["--executor", "processes", "--address", "auto"], "are for the executor 'ray', not for 'processes'"),
        (
            ["--executor", "ray", "--gpus-per-worker", "-1"],
            "--gpus-per-worker is -1.0, but a number of at least 0",
        ),
        (["--evaluation-timeout", "60"], "use --executor processes."),
        (
            ["--executor", "processes", "--evaluation-timeout", "0"],
            "--evaluation-timeout is 0.0, but a number above 0",
        ),
        (
            ["--executor", "processes", "--evaluation-timeout", "nan"],
            "--evaluation-timeout is nan, but a finite number",
        ),
    ],
)
def test_useless_executors_are_refused_in_one_sentence(
    tmp_path: Path, run_cli: Any, search_arguments: Arguments, options: list[str], message: str
) -> None:
    code, out, err = run_cli(*search_arguments(tmp_path, 20), *options)
    assert code == 2, out + err
    assert message in err
    assert not (tmp_path / "study.db").exists()


def test_ray_is_missed_before_anything_is_computed(
    tmp_path: Path, run_cli: Any, search_arguments: Arguments, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ecad_automl.execution.settings.find_spec", lambda name: None)
    code, out, err = run_cli(*search_arguments(tmp_path, 20), "--executor", "ray")
    assert code == 2, out + err
    assert "pip install 'ecad-automl[ray]'" in err
    assert not (tmp_path / "study.db").exists()
