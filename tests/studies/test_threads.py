"""How many threads a search on a CPU computes with: chosen once by time, kept, and given back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ecad_automl.judging.threads import one_is_enough
from ecad_automl.rewards import load_reward
from storage import Store
from studies.config import SearchConfig
from studies.job import SearchJob, run_search
from studies.threads import fitting_processes, slowdown

CONFIG = SearchConfig(evaluations=8)


@pytest.mark.parametrize(
    ("one", "everything", "enough"), [(1.0, 3.0, True), (1.0, 1.0, True), (1.05, 1.0, True), (1.5, 1.0, False)]
)
def test_one_thread_is_enough_where_all_are_hardly_faster(one: float, everything: float, enough: bool) -> None:
    passed, ran = [0.0], []

    def run(count: int) -> None:
        ran.append(count)
        passed[0] += one if count == 1 else everything

    assert one_is_enough(run, 4, now=lambda: passed[0]) == (enough, pytest.approx(one), pytest.approx(everything))
    assert ran == [1, *[1, 4] * 3]


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

    monkeypatch.setattr("ecad_automl.judging.threads.one_is_enough", choose)
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
    ("images", "slower", "seconds", "cores", "count"),
    [
        (24, 1.0, 5.0, 2, 2),  # three batches in the time of two
        (24, 1.4, 5.0, 2, 1),  # two threads of one core
        (32, 1.4, 5.0, 2, 2),
        (24, 1.0, 5.0, 8, 3),  # one for each batch
        (24, 1.0, 0.1, 2, 1),  # over before processes have loaded
        (8, 1.0, 5.0, 2, 1),
        (24, 1.0, 5.0, 1, 1),
    ],
)
def test_there_are_several_processes_where_they_save_more_than_they_slow_each_other_down(
    monkeypatch: pytest.MonkeyPatch, images: int, slower: float, seconds: float, cores: int, count: int
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("studies.threads._cores", lambda: cores)
    beside: list[int] = []

    def measured(_run: object, others: int) -> float:
        beside.append(others)
        return slower

    monkeypatch.setattr("studies.threads.slowdown", measured)
    evaluator: Any = SimpleNamespace(
        images_per_evaluation=images, batch_size=8, baseline=lambda: SimpleNamespace(seconds=seconds)
    )
    told: list[str] = []
    observer: Any = SimpleNamespace(message=told.append)
    assert fitting_processes(evaluator, 96, observer) == count
    assert len(told) == (count > 1)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert fitting_processes(evaluator, 96, observer) == 1
    assert beside in ([], [min(cores, images // 8) - 1])


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
