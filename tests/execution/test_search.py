"""Searches whose candidates are evaluated by several processes at a time."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ecad_automl.errors import RewardError
from ecad_automl.execution import LocalExecutor, Outcome, Task, Worker
from ecad_automl.execution._fleet import Fleet
from ecad_automl.schedules.schedule import Schedule
from studies import attributes
from tests.execution.fakes import Hanging
from tests.studies.conftest import Bench, DriftEvaluator, small_drift, small_layout

Start = Callable[..., Any]


@dataclass(frozen=True)
class DriftSetup:
    """Loads the small search problem; where a file ``deaths`` is, a worker dies once, in one of its first tasks."""

    folder: Path
    seeds: int = 4
    device: str | None = None

    def evaluator(self) -> DriftEvaluator:
        layout = small_layout()
        die = partial(self._die, iter(range(random.randrange(5))))
        return DriftEvaluator(layout, small_drift(layout), die, seeds=range(self.seeds), batch_size=4)

    def build(self, name: str) -> Worker:
        return Worker(self.evaluator(), name)

    def _die(self, tasks_before: Iterator[int], _: Any) -> None:
        deaths = self.folder / "deaths"
        if next(tasks_before, None) is None and deaths.exists():
            deaths.unlink(missing_ok=True)
            os._exit(1)


class Shuffled:
    """Does tasks in this process, but has several at a time and gives outcomes in an order of its own."""

    def __init__(self, worker: Worker, workers: int, seed: int) -> None:
        self._local, self.workers = LocalExecutor(worker), workers
        self._rng = random.Random(seed)
        self._waiting: list[Task] = []

    def submit(self, task: Task) -> None:
        self._waiting.append(task)

    def wait(self, timeout: float | None = None) -> list[Outcome]:
        if not self._waiting:
            return []
        self._local.submit(self._waiting.pop(self._rng.randrange(len(self._waiting))))
        return self._local.wait()

    def close(self) -> None:
        self._waiting.clear()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "study.db")


def story(bench: Bench, study: str) -> set[tuple[str, str, float]]:
    return {
        (trial.user_attrs[attributes.GENOME], trial.state.name, trial.user_attrs[attributes.DIFFERENCE])
        for trial in bench.trials(study)
        if trial.state.name in ("COMPLETE", "PRUNED")
    }


def run(bench: Bench, setup: DriftSetup, study: str, executor: Any = None, **settings: Any) -> Any:
    given = {"evaluations": 50, "race": True, "asynchronous": False, **settings}
    return bench.run(setup.evaluator(), study=study, executor=executor, **given)


def test_what_a_search_by_generations_finds_depends_neither_on_workers_nor_on_their_order(
    bench: Bench, tmp_path: Path
) -> None:
    setup = DriftSetup(tmp_path)
    run(bench, setup, "alone", asynchronous=True)  # one worker has nobody to wait for
    alone = story(bench, "alone")
    assert len({state for _, state, _ in alone}) == 2, "some are stopped early"
    for workers in (3, 40):
        executor = partial(Shuffled, setup.build("w"), workers, seed=workers)
        run(bench, setup, f"of {workers}", executor)
        assert story(bench, f"of {workers}") == alone


def test_a_search_by_generations_that_is_broken_off_finds_the_same(bench: Bench, tmp_path: Path) -> None:
    setup = DriftSetup(tmp_path)
    run(bench, setup, "alone")
    for budget in (19, 50):
        run(bench, setup, "parts", partial(Shuffled, setup.build("w"), 5, seed=budget), evaluations=budget)
    assert story(bench, "parts") == story(bench, "alone")


@pytest.mark.slow
@pytest.mark.parametrize("start_fleet", ["ray"], indirect=True)  # for the other kind tests of commands say so
def test_real_processes_find_the_same_though_one_dies(bench: Bench, tmp_path: Path, start_fleet: Start) -> None:
    setup = DriftSetup(tmp_path)
    run(bench, setup, "alone")
    (tmp_path / "deaths").touch()
    run(bench, setup, "fleet", lambda: start_fleet(setup))
    assert story(bench, "fleet") == story(bench, "alone")
    assert not (tmp_path / "deaths").exists()
    assert any("was lost and is replaced" in message for message in bench.observer.messages)


@pytest.mark.parametrize("workers", [2, 40])
def test_an_asynchronous_search_spends_its_budget_evaluates_nothing_twice_and_improves(
    bench: Bench, tmp_path: Path, workers: int
) -> None:
    setup = DriftSetup(tmp_path)
    executor = partial(Shuffled, setup.build("w"), workers, seed=1)
    status = run(bench, setup, "overlapping", executor, asynchronous=True, evaluations=70)
    trials = bench.trials("overlapping")
    assert {trial.state.name for trial in trials} <= {"COMPLETE", "PRUNED"}
    assert 70 <= status.images < 70 + workers
    genomes = [trial.user_attrs[attributes.GENOME] for trial in trials]
    assert len(genomes) == len(set(genomes)) == status.evaluations
    generations = [trial.user_attrs[attributes.GENERATION] for trial in trials]
    seeds = run(bench, setup, "seeds", evaluations=sum(generation == 0 for generation in generations))
    assert status.hypervolume > seeds.hypervolume
    assert max(generations) > 3
    assert all(generations.count(number) == 6 for number in range(1, max(generations)))


class Failing(Shuffled):
    """Fails every task of some candidates."""

    def __init__(self, *arguments: Any, every: int, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._every, self._seen = every, dict[Schedule, int]()

    def wait(self, timeout: float | None = None) -> list[Outcome]:
        from ecad_automl.execution import Failure

        found = super().wait(timeout)
        for index, outcome in enumerate(found):
            number = self._seen.setdefault(outcome.task.schedule, len(self._seen))
            if number % self._every == self._every - 1:
                found[index] = Outcome(outcome.task, failure=Failure("It broke.", "Traceback of it"))
        return found


def test_a_candidate_that_fails_three_times_is_marked_with_its_traceback_and_the_search_goes_on(
    bench: Bench, tmp_path: Path
) -> None:
    setup = DriftSetup(tmp_path)
    status = run(bench, setup, "s", partial(Failing, setup.build("w"), 3, seed=0, every=9), asynchronous=True)
    failed = [trial for trial in bench.trials("s") if trial.state.name == "FAIL"]
    assert len(failed) >= 3
    assert {trial.user_attrs[attributes.FAILURE] for trial in failed} == {"Traceback of it"}
    assert [message for message in bench.observer.messages if message.endswith("failed 3 times: It broke.")]
    assert status.images >= 50


def test_a_candidate_whose_workers_hang_is_marked_after_three_tries_and_the_search_goes_on(
    bench: Bench, tmp_path: Path
) -> None:
    setup, hangs = DriftSetup(tmp_path), list[Schedule]()

    def is_first(task: Task) -> bool:
        hangs[:] = hangs or [task.schedule]
        return task.schedule == hangs[0]

    engine = Hanging(setup.build("w"), is_first)
    status = run(bench, setup, "s", partial(Fleet, engine, 2, evaluation_timeout=0.1), evaluations=20)
    (failed,) = [trial for trial in bench.trials("s") if trial.state.name == "FAIL"]
    assert failed.user_attrs[attributes.GENOME] == hangs[0].to_genome()
    assert failed.user_attrs[attributes.FAILURE].endswith("than the 0.1 s of evaluation_timeout.")
    (message,) = [message for message in bench.observer.messages if "failed 3 times" in message]
    assert message.endswith(failed.user_attrs[attributes.FAILURE])
    # Both of its parts hang; what the last does when it is given up is no matter.
    assert sum("was ended and is replaced" in message for message in bench.observer.messages) in (3, 4)
    assert status.images >= 20


def test_when_every_candidate_fails_the_search_says_so(bench: Bench, tmp_path: Path) -> None:
    setup = DriftSetup(tmp_path)
    with pytest.raises(RewardError, match="3 candidates in a row could not be scored"):
        run(bench, setup, "s", partial(Failing, setup.build("w"), 3, seed=0, every=1))
    assert not [trial for trial in bench.trials("s") if trial.state.name == "RUNNING"]


def test_all_workers_share_in_each_candidate_unless_each_would_have_to_fit_first(bench: Bench, tmp_path: Path) -> None:
    setup = DriftSetup(tmp_path)
    sizes: list[tuple[int, int, bool]] = []

    class Watched(Shuffled):
        def submit(self, task: Task) -> None:
            sizes.append((len(self._waiting), len(task.images), task.fit))
            super().submit(task)

    # 3 prompts x 4 seeds in batches of 4: three tasks a candidate.
    run(bench, setup, "s", partial(Watched, setup.build("w"), 8, seed=0), race=False, asynchronous=True)
    assert {4} == {images for _, images, _ in sizes}
    assert max(waiting for waiting, _, _ in sizes) < 8 + 2
