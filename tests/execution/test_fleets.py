"""Fleets of real processes, in which workers die."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from ecad_automl.errors import EvaluationError, UnsupportedModelError
from ecad_automl.execution import Execution, Executor, Failure, LocalExecutor, Outcome, Task
from ecad_automl.execution._fleet import Fleet
from tests.execution.fakes import FakeSetup, Hanging, schedule

Start = Callable[..., Any]


def tasks(count: int) -> list[Task]:
    return [Task(number, schedule(number % 5), (number, number + 1)) for number in range(count)]


def done(executor: Executor, given: Sequence[Task]) -> dict[int, Outcome]:
    for task in given:
        executor.submit(task)
    found: dict[int, Outcome] = {}
    while len(found) < len(given):
        for outcome in executor.wait(60):
            assert outcome.task.number not in found
            found[outcome.task.number] = outcome
    return found


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def order(folder: Path, *orders: str) -> None:
    (folder / "orders").write_text("\n".join(orders))


def test_each_task_has_one_outcome_with_the_scores_of_this_process(tmp_path: Path, start_fleet: Start) -> None:
    fleet = start_fleet(FakeSetup(tmp_path))
    assert fleet.workers == 2
    found = done(fleet, tasks(12))
    alone = done(LocalExecutor(FakeSetup(tmp_path).build("alone")), tasks(12))
    for number, outcome in found.items():
        assert outcome.failure is None
        assert {name: values.tolist() for name, values in outcome.scores.items()} == {
            name: values.tolist() for name, values in alone[number].scores.items()
        }
    assert {outcome.worker for outcome in found.values()} <= {"worker 1", "worker 2"}
    assert fleet.wait() == []


def test_a_worker_that_dies_is_replaced_and_its_task_fails_to_be_tried_again(
    tmp_path: Path, start_fleet: Start
) -> None:
    fleet = start_fleet(FakeSetup(tmp_path))
    order(tmp_path, "die")
    first = done(fleet, tasks(6))
    (lost,) = [outcome for outcome in first.values() if outcome.failure is not None]
    assert lost.failure is not None
    assert not lost.failure.final
    assert "was lost and is replaced" in lost.notes[0]
    again = done(fleet, [Task(99, lost.task.schedule, lost.task.images)])
    assert again[99].failure is None
    wait_until(lambda: len((tmp_path / "built").read_text().splitlines()) == 3)


def test_a_worker_that_is_killed_from_outside_is_replaced(tmp_path: Path, start_fleet: Start) -> None:
    fleet = start_fleet(FakeSetup(tmp_path), 1)
    order(tmp_path, "hang")
    fleet.submit(tasks(1)[0])
    assert fleet.wait(0.01) == []
    wait_until(lambda: fleet.wait(0.05) == [] and (tmp_path / "hangs").exists())
    os.kill(int((tmp_path / "hangs").read_text()), signal.SIGKILL)
    (outcome,) = fleet.wait(60)
    assert outcome.failure is not None
    assert done(fleet, tasks(3))[2].failure is None


def test_a_worker_that_hangs_is_ended_and_replaced_and_its_task_fails_to_be_tried_again(
    tmp_path: Path, start_fleet: Start
) -> None:
    (tmp_path / "slow").write_text("1.2")  # loading may take longer than a task
    fleet = start_fleet(FakeSetup(tmp_path), 1, evaluation_timeout=1.0)
    order(tmp_path, "hang")
    ended, after = done(fleet, tasks(2)).values()
    limit = "It took longer over its images than the 1 s of evaluation_timeout."
    assert ended.failure == Failure(f"worker 1 was ended. {limit}")
    assert ended.notes == (f"Worker 1 was ended and is replaced. {limit}",)
    assert after.failure is None
    assert after.worker == "worker 2"
    wait_until(lambda: not is_alive(int((tmp_path / "hangs").read_text())))


def test_workers_that_hang_one_after_another_are_replaced_for_as_long_as_there_are_tasks(tmp_path: Path) -> None:
    engine = Hanging(FakeSetup(tmp_path).build("w"), lambda task: task.number < 8)
    found = done(Fleet(engine, 2, evaluation_timeout=0.05), tasks(9))
    assert [number for number, outcome in found.items() if outcome.failure is None] == [8]
    assert len({outcome.worker for outcome in found.values() if outcome.failure is not None}) == 8


def test_what_is_done_in_time_counts_though_it_is_asked_for_late(tmp_path: Path) -> None:
    fleet = Fleet(Hanging(FakeSetup(tmp_path).build("w"), lambda _: False), 2, evaluation_timeout=0.05)
    fleet.wait(0.01)
    for task in tasks(2):
        fleet.submit(task)
    time.sleep(0.1)
    assert [outcome.failure for outcome in fleet.wait(60)] == [None, None]


def test_what_goes_wrong_in_a_task_comes_back_with_its_traceback_and_the_worker_goes_on(
    tmp_path: Path, start_fleet: Start
) -> None:
    fleet = start_fleet(FakeSetup(tmp_path), 1)
    order(tmp_path, "break", "refuse", "note")
    broken, refused, noted = (done(fleet, tasks(1))[0] for _ in range(3))
    assert broken.failure is not None
    assert broken.failure.message == "ZeroDivisionError: by zero"
    assert 'raise ZeroDivisionError("by zero")' in broken.failure.traceback
    assert not broken.failure.final
    assert refused.failure is not None
    assert refused.failure.message == "The reward is nan."
    assert refused.failure.final
    assert noted.notes == ("something to know",)
    assert len((tmp_path / "built").read_text().splitlines()) == 1


def test_a_model_that_cannot_be_loaded_is_told_as_it_would_be_in_this_process(
    tmp_path: Path, start_fleet: Start
) -> None:
    (tmp_path / "missing").touch()
    fleet = start_fleet(FakeSetup(tmp_path))
    fleet.submit(tasks(1)[0])
    with pytest.raises(UnsupportedModelError, match="There is no such model"):
        fleet.wait(60)


def test_workers_that_die_one_after_another_are_given_up(tmp_path: Path, start_fleet: Start) -> None:
    (tmp_path / "fatal").touch()
    fleet = start_fleet(FakeSetup(tmp_path), 1)
    fleet.submit(tasks(1)[0])
    with pytest.raises(EvaluationError, match="4 workers in a row were lost"):
        fleet.wait(120)


def test_nothing_is_left_of_a_closed_fleet(tmp_path: Path, start_fleet: Start) -> None:
    fleet = start_fleet(FakeSetup(tmp_path))
    order(tmp_path, "hang")
    for task in tasks(8):
        fleet.submit(task)
    wait_until(lambda: (fleet.wait(0.05) or True) and (tmp_path / "hangs").exists())
    processes = [int(line.split()[-1]) for line in (tmp_path / "built").read_text().splitlines()]
    fleet.close()
    fleet.close()
    wait_until(lambda: not any(map(is_alive, processes)))


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("workers", [0, -1])
def test_a_fleet_needs_a_worker(workers: int) -> None:
    with pytest.raises(EvaluationError, match="at least 1 is needed"):
        Execution("processes", workers)


@pytest.mark.slow
def test_a_cluster_without_enough_gpus_is_named(tmp_path: Path, ray_cluster: Any) -> None:
    from ecad_automl.execution._ray_cluster import RayEngine

    assert ray_cluster.is_initialized()
    with pytest.raises(EvaluationError, match="2 workers take 80 GPUs together, but the Ray cluster has 0;"):
        RayEngine(FakeSetup(tmp_path), 2, gpus_per_worker=40)
