"""A search whose wall clock jumps finds what an undisturbed one finds."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import optuna
import pytest

from ecad_automl.execution import Task, Worker
from ecad_automl.execution._fleet import Fleet
from storage import Store
from storage.check import check_database
from tests.clock import Clock, run_in_jumping_time
from tests.execution.fakes import Hanging
from tests.studies.conftest import Bench

SETTINGS = {"evaluations": 24, "race": True, "asynchronous": False}


class Threads(Hanging):
    """An engine whose worker is a thread of this process, so that the clock jumps while the driver waits for it."""

    def __init__(self, worker: Worker) -> None:
        super().__init__(worker, lambda _: False)
        self._pool = ThreadPoolExecutor(1)

    def run(self, worker: str, task: Task) -> Future[Any]:
        return self._pool.submit(self._worker.run, task)

    def close(self) -> None:
        self._pool.shutdown()


def search(database: Path, before: Callable[[Any], None] = lambda _: None) -> Bench:
    bench = Bench(database, in_file=True)
    evaluator = bench.evaluator(before, seeds=4)
    engine = Threads(Worker(evaluator))
    bench.run(evaluator, executor=lambda: Fleet(engine, 1, evaluation_timeout=3600.0), **SETTINGS)
    return bench


def found(bench: Bench) -> dict[str, Any]:
    """All that a search has found, without the times at which it did."""
    with Store.open(bench.database, read_only=True) as store:
        records = [
            (each.trial, each.genome, each.complete, {name: kept.tobytes() for name, kept in each.scores.items()})
            for each in store.evaluations("s")
        ]
        generations = [(each.generation, each.evaluations, each.hypervolume) for each in store.generations("s")]
    study = bench.study()
    return {
        "trials": [(trial.number, trial.state.name, trial.values) for trial in study.trials],
        "records": records,
        "generations": generations,
        "front": sorted(tuple(trial.values) for trial in study.best_trials),
    }


@pytest.mark.slow
def test_a_search_whose_clock_jumps_by_days_and_months_finds_the_same(tmp_path: Path) -> None:
    clock, database = tmp_path / "clock", tmp_path / "jumping.db"
    run_in_jumping_time(["-m", "tests.studies.test_clock", database, clock], clock)
    jumping, steady = Bench(database, in_file=True), search(tmp_path / "steady.db")
    trials = jumping.trials()
    starts = [trial.datetime_start for trial in trials]
    assert max(starts) - min(starts) > timedelta(days=30)
    assert any(trial.datetime_complete < trial.datetime_start for trial in trials), "it jumped during evaluations"
    assert found(jumping) == found(steady)
    assert {trial.state.name for trial in trials} <= {"COMPLETE", "PRUNED"}
    # The bench keeps runs of fewer steps without their scores, which only tests do.
    assert {finding.kind for finding in check_database(database).findings} == {"baseline"}


if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    search(Path(sys.argv[1]), Clock(sys.argv[2]).jump)
