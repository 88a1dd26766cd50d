"""How many threads a search on a CPU computes with: chosen once by time, kept, and given back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from ecad_automl.rewards import load_reward
from storage import Store
from studies.config import SearchConfig
from studies.job import SearchJob, run_search
from studies.threads import one_is_enough

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
