"""A search that is killed again and again, at any instant, ends as if it had not been."""

from __future__ import annotations

import os
import random
import signal
import time
import traceback
from collections import Counter
from pathlib import Path

import numpy as np
import optuna
import pytest

from storage import Store
from studies import attributes
from tests.studies.conftest import Bench

KILLS = 12
EVALUATIONS = 60


def start(database: Path, progress: Path) -> int:
    """Run the search in a fork of this process, which need not load its libraries anew."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        bench = Bench(database, in_file=True)
        evaluator = bench.evaluator(lambda _: progress.touch(), seeds=4)
        bench.run(evaluator, evaluations=EVALUATIONS, race=True)
        code = 0
    finally:
        if code:
            traceback.print_exc()
        os._exit(code)


def wait_for(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def evaluated(database: Path) -> set[str]:
    with Store.open(database, read_only=True) as store:
        return {record.genome for record in store.evaluations("s", scores=False)}


@pytest.mark.slow
def test_many_kills_lose_nothing_and_change_nothing(tmp_path: Path) -> None:
    whole = Bench(tmp_path / "whole.db")
    whole.run(whole.evaluator(seeds=4), evaluations=EVALUATIONS, race=True)
    killed, progress = Bench(tmp_path / "killed.db", in_file=True), tmp_path / "progress"

    rng = random.Random(0)
    kills, at = 0, Counter[int]()
    while kills < KILLS:
        progress.unlink(missing_ok=True)
        child = start(killed.database, progress)
        # Half of them while the search starts and calibrates, half a moment after it has evaluated a candidate.
        wait_for_progress = rng.random() < 0.5
        end = time.monotonic() + (60 if wait_for_progress else rng.random() * 0.5)
        while time.monotonic() < end and not (wait_for_progress and progress.exists()):
            time.sleep(0.001)
        time.sleep(rng.random() ** 2 * 0.1)
        before = evaluated(killed.database) if killed.database.exists() and kills else set()
        os.kill(child, signal.SIGKILL)
        assert wait_for(child) == -signal.SIGKILL, "the search was done before it could be killed"
        kills += 1
        if before:
            after = evaluated(killed.database)
            assert before <= after
            at[len(after)] += 1
    assert wait_for(start(killed.database, progress)) == 0
    print(f"{kills} kills, at {len(at)} different numbers of evaluations up to {max(at)} of {len(whole.trials())}")

    trials = killed.trials()
    assert not [trial for trial in trials if trial.state.name in ("RUNNING", "WAITING")]
    done = [trial for trial in trials if trial.state.name in ("COMPLETE", "PRUNED")]
    genomes = [trial.user_attrs[attributes.GENOME] for trial in done]
    assert len(genomes) == len(set(genomes))
    with Store.open(killed.database) as store, Store.open(whole.database) as undisturbed:
        ours = {record.genome: record for record in store.evaluations("s")}
        theirs = {record.genome: record for record in undisturbed.evaluations("s")}
        assert set(genomes) <= set(ours)
        assert set(ours) == set(theirs)
        for genome, record in ours.items():
            assert record.complete == theirs[genome].complete
            for metric, scores in record.scores.items():
                np.testing.assert_array_equal(scores, theirs[genome].scores[metric])
                assert record.complete == bool(np.isfinite(scores).all())
        hypervolumes = [
            [(each.generation, each.hypervolume) for each in of.generations("s")] for of in (store, undisturbed)
        ]
        assert hypervolumes[0] == hypervolumes[1]

    def front(bench: Bench) -> list[tuple[float, ...]]:
        return sorted(tuple(trial.values) for trial in bench.study().best_trials)

    assert front(killed) == front(whole)
