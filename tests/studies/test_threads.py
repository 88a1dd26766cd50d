"""How many threads a search on a CPU computes with: chosen once by time, kept, and given back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from ecad_automl.judging.evaluation import Evaluator
from ecad_automl.judging.threads import one_is_enough
from ecad_automl.models import model_layout
from ecad_automl.rewards import load_reward
from storage import Store
from studies.config import SearchConfig
from studies.job import SearchJob, run_search
from studies.threads import fitting_threads, slowdown

CONFIG = SearchConfig(evaluations=8)


@pytest.mark.parametrize(
    ("one", "everything", "enough", "rounds"),
    [(1.0, 3.0, True, 3), (1.0, 1.0, True, 3), (1.05, 1.0, True, 3), (1.5, 1.0, False, 3), (1.0, 9.0, True, 1)],
)
def test_one_thread_is_enough_where_all_are_hardly_faster(
    one: float, everything: float, enough: bool, rounds: int
) -> None:
    passed, ran = [0.0], []

    def run(count: int) -> None:
        ran.append(count)
        passed[0] += one if count == 1 else everything

    assert one_is_enough(run, 4, now=lambda: passed[0]) == (enough, pytest.approx(one), pytest.approx(everything))
    assert ran == [1, *[1, 4] * rounds]


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(("enough", "kept"), [(True, b"1"), (False, b"all")])
def test_a_study_goes_on_with_the_threads_it_began_with(
    tiny_model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, enough: bool, kept: bytes
) -> None:
    used: set[int] = set()
    chosen: list[int] = []

    def choose(_run: object, threads: int) -> tuple[bool, float, float]:
        chosen.append(threads)
        return enough, 1.0, 2.0

    monkeypatch.setattr("studies.threads.one_is_enough", choose)
    tiny_model.pipe.transformer.register_forward_pre_hook(lambda *_: used.add(torch.get_num_threads()))
    for evaluations in (8, 10):
        config = SearchConfig(evaluations=evaluations)
        run_search(SearchJob(tiny_model, ["a cross"], load_reward("fidelity"), tmp_path / "s.db", "s", config=config))
        assert torch.get_num_threads() == 2
    assert used == {1 if enough else 2}
    assert chosen == [2]
    with Store.open(tmp_path / "s.db") as store:
        assert store.calibration("s", "threads") == kept


@pytest.mark.usefixtures("two_threads")
def test_the_environment_has_the_last_word(tiny_model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    used: set[int] = set()
    tiny_model.pipe.transformer.register_forward_pre_hook(lambda *_: used.add(torch.get_num_threads()))
    run_search(SearchJob(tiny_model, ["a cross"], load_reward("fidelity"), tmp_path / "s.db", "s", config=CONFIG))
    assert used == {2}


@pytest.mark.parametrize(
    ("everything", "slower", "evaluations", "processes", "count"),
    [
        (0.8, 1.0, 96, 2, 2),  # two processes do as much as 2.0 of one thread, all threads 1.25
        (0.8, 1.5, 96, 2, 2),  # 1.33
        (0.6, 1.2, 96, 2, 0),  # 1.67 and 1.67
        (2.0, 1.9, 96, 2, 2),
        (2.0, 2.0, 96, 2, 1),  # of one core
        (0.2, 1.0, 96, 4, 0),
        (0.8, 1.0, 8, 2, 0),  # over before processes have loaded
        (1.0, 1.0, 8, 2, 1),
        (0.8, 1.0, 96, 1, 0),  # they could not load what the search has
    ],
)
@pytest.mark.usefixtures("two_threads")
def test_there_are_several_processes_where_they_make_more_images_than_one(
    tiny_model: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    everything: float,
    slower: float,
    evaluations: int,
    processes: int,
    count: int,
) -> None:
    beside: list[int] = []

    def measured(_run: object, others: int) -> float:
        beside.append(others)
        return slower

    monkeypatch.setattr("studies.threads.slowdown", measured)
    monkeypatch.setattr("studies.threads.one_is_enough", lambda *_: (everything > 0.95, 1.0, everything))
    monkeypatch.setattr("studies.threads._seconds", lambda _: 1.0)
    model, told = tiny_model, []
    evaluator = Evaluator(model.pipe, ["a cross"], range(8), load_reward("fidelity"), model.settings, batch_size=1)
    layout, observer = model_layout(model), SimpleNamespace(message=told.append)
    given: dict[str, Any] = {"processes": processes, "evaluations": evaluations}
    with Store.open(tmp_path / "s.db") as store:
        store.claim_study("s", {})
        for started in (False, True):
            with fitting_threads(
                evaluator, layout, store, "s", cast("Any", observer), started=started, **given
            ) as found:
                assert found == count
                assert torch.get_num_threads() == (2 if count == 0 else 1)
            assert torch.get_num_threads() == 2
        assert store.calibration("s", "threads") == (b"1" if count else b"all")
        monkeypatch.setenv("OMP_NUM_THREADS", "2")
        with fitting_threads(evaluator, layout, store, "s", cast("Any", observer), started=True, **given) as found:
            assert found == min(count, 1)
    assert len(told) == (count > 0) + 2 * (count > 1)
    assert set(beside) <= {processes - 1}


def test_a_run_beside_busy_processes_is_compared_with_the_run_alone() -> None:
    passed, ran = [0.0], []

    def run() -> None:
        beside = any(b"while time.monotonic()" in line for line in commands())
        ran.append(beside)
        passed[0] += 3.0 if beside else 2.0

    assert slowdown(run, 1, now=lambda: passed[0]) == pytest.approx(1.5)
    assert ran == [False] * 4 + [True] * 3
    assert not any(b"while time.monotonic()" in line for line in commands())


def commands() -> list[bytes]:
    """Of the processes that this one has started."""
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    return [Path(f"/proc/{child}/cmdline").read_bytes() for child in children]
