"""A process killed at any instant leaves a file that holds all it said was kept."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from storage import Store, database_path, is_server, optuna_storage

WRITER = """
import sys
import numpy as np
from storage import EvaluationRecord, GenerationRecord, Store
start = int(sys.argv[2])
with Store.open(sys.argv[1]) as store:
    store.claim_study("study", {"seed": 0})
    for index in range(start, 1_000_000):
        scores = {"reward": np.full(500, index, np.float32)}
        store.save_evaluation("study", EvaluationRecord(f"{index:08x}", index, index, 0.0, scores=scores))
        store.save_generation("study", GenerationRecord(0, index))
        print(index, flush=True)
"""

OPTUNA_WRITER = """
import sys
import optuna
from storage import EvaluationRecord, Store, open_optuna_storage
optuna.logging.set_verbosity(optuna.logging.ERROR)
with Store.open(sys.argv[1]) as store:
    study = optuna.create_study(
        storage=open_optuna_storage(sys.argv[1]),
        study_name="study",
        directions=["maximize", "minimize"],
        load_if_exists=True,
    )
    while True:
        trial = study.ask()
        x = trial.suggest_float("x", 0, 1)
        record = EvaluationRecord(f"{trial.number:08x}", x, x, 0.0, trial=trial.number)
        store.save_evaluation("study", record)
        study.tell(trial, [x, x])
        print(trial.number, flush=True)
"""


def kill_after(lines: int, delay: float, code: str, *arguments: str) -> list[int]:
    """Run a writer, kill it a moment after it has said so many numbers, and return all that it said."""
    child = subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    try:
        said = [int(child.stdout.readline()) for _ in range(lines)]
        time.sleep(delay)
    finally:
        child.send_signal(signal.SIGKILL)
        # Not communicate(timeout=...), which passes over lines that were read ahead with an earlier one.
        rest = child.stdout.read()
        child.stdout.close()
        child.wait(timeout=60)
    assert child.returncode == -signal.SIGKILL
    # The last line may be cut off by the kill.
    return said + [int(line) for line in rest.split("\n")[:-1]]


def check(location: str) -> None:
    if not is_server(location):
        with closing(sqlite3.connect(database_path(location))) as connection:
            assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]


def test_a_killed_writer_loses_nothing_that_it_acknowledged(location: str) -> None:
    start = 0
    # Processes take long to start, and what a kill can tear apart on a server is on the server.
    for delay in (0.0, 0.0047) if is_server(location) else (0.0, 0.0013, 0.0047, 0.011):
        said = kill_after(5, delay, WRITER, location, str(start))
        check(location)
        with Store.open(location) as store:
            kept = store.evaluations("study")
            (generation,) = store.generations("study")
        by_genome = {record.genome: record for record in kept}
        assert [record.genome for record in kept] == [f"{index:08x}" for index in range(len(kept))]
        for index in said:
            record = by_genome[f"{index:08x}"]
            assert record.reward == index
            assert record.scores["reward"].tolist() == [index] * 500
        # At most the evaluation in flight is there besides, and its generation may be missing.
        assert said[-1] <= len(kept) - 1 <= said[-1] + 2
        assert said[-1] <= generation.evaluations <= len(kept) - 1
        start = len(kept)


@pytest.mark.slow
def test_a_search_killed_between_evaluation_and_tell_keeps_the_evaluation(location: str) -> None:
    for delay in (0.005,) if is_server(location) else (0.0, 0.005, 0.02):
        said = kill_after(3, delay, OPTUNA_WRITER, location)
        check(location)
        with optuna_storage(location) as storage:
            trials = storage.get_all_trials(storage.get_study_id_from_name("study"))
        with Store.open(location) as store:
            kept = {record.trial: record.reward for record in store.evaluations("study")}
        told = {trial.number: trial.values[0] for trial in trials if trial.state.is_finished()}
        assert set(said) <= set(told)
        assert set(told) <= set(kept)
        assert all(kept[number] == value for number, value in told.items())
