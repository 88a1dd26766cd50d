from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.search import bed_runs
from benchmarks.search.baseline_report import absent
from benchmarks.search.bed_runs import at, figures_of, keep_runs, kept_runs_of
from benchmarks.search.beds import Figures
from benchmarks.search.cache_baselines import chosen
from benchmarks.search.contestant import Contestant, DoesNotRunError

EVALUATOR: Any = SimpleNamespace(prompts=["a", "b", "c"], seeds=[7, 8], settings=SimpleNamespace(steps=20))


@pytest.fixture
def keep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[list[str], dict[str, Any]]]:
    """From names to those that were run now, and what is kept."""
    loss = np.arange(6.0).reshape(3, 2)
    monkeypatch.setattr(bed_runs, "score", lambda _evaluator, images: Figures(loss + images, loss, loss))

    def call(names: list[str], code: str = "one", **options: Any) -> tuple[list[str], dict[str, Any]]:
        monkeypatch.setattr(bed_runs, "made_by", lambda _modules, _weights: {"commit": f"c-{code}", "code": code})
        ran: list[str] = []

        def contestant(name: str) -> Contestant:
            def make() -> float:
                ran.append(name)
                return float(len(name))

            return Contestant(name.split(maxsplit=1)[0], (), make, lambda: 2.0)

        runs = keep_runs("tried", "shapes", EVALUATOR, {n: contestant(n) for n in names}, results=tmp_path, **options)
        assert kept_runs_of("tried", "shapes", tmp_path) == runs
        return ran, runs

    return call


def test_what_is_kept_is_not_run_again(keep: Callable[..., Any]) -> None:
    assert keep(["FORA 2", "steps 3"])[0] == ["FORA 2", "steps 3"]
    ran, runs = keep(["FORA 2", "steps 3", "steps 4"])
    assert ran == ["steps 4"]
    assert list(runs) == ["FORA 2", "steps 3", "steps 4"]
    assert (runs["FORA 2"]["method"], runs["FORA 2"]["saved"], runs["FORA 2"]["commit"]) == ("FORA", 2.0, "c-one")
    assert "versions" in runs["FORA 2"]["machine"]
    assert figures_of(runs["FORA 2"]).loss[1, 1] == 9.0


def test_runs_of_other_code_are_run_again_and_that_is_said(
    keep: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    keep(["FORA 2"])
    assert keep(["FORA 2"], code="two")[0] == ["FORA 2"]
    assert "1 kept runs are of other code (FORA 2; commits c-one)" in capsys.readouterr().err.replace("\n", " ")
    ran, runs = keep(["FORA 2"], code="three", accept_other_code=True)
    assert (ran, runs["FORA 2"]["code"]) == ([], "two")
    assert "taken as they are" in capsys.readouterr().err.replace("\n", " ")


def test_runs_that_are_wanted_no_more_go_unless_they_stand_beside(keep: Callable[..., Any]) -> None:
    keep(["FORA 2", "quick 3"])
    assert list(keep(["FORA 2"], beside=("quick",))[1]) == ["FORA 2", "quick 3"]
    assert list(keep(["FORA 2"])[1]) == ["FORA 2"]


def test_what_does_not_run_is_kept_as_that(keep: Callable[..., Any], tmp_path: Path) -> None:
    def fail() -> None:
        raise DoesNotRunError("no such block")

    contestants = {"PAB 2": Contestant("PAB", (), fail, 2.0)}
    runs = keep_runs("tried", "shapes", EVALUATOR, contestants, results=tmp_path)
    assert runs["PAB 2"]["failed"] == "no such block"
    assert at(runs, "PAB", 1.0) is None
    assert absent(runs) == ["", "- PAB does not run: `no such block`"]


def sweep(*runs: tuple[str, float, float]) -> dict[str, Any]:
    """Of one cache, by name: what a setting saves and loses."""
    figures = {name: [[1.0]] for name in ("psnr", "margin")}
    return {name: {"method": "cache", "saved": saved, "loss": [[loss]], **figures} for name, saved, loss in runs}


def test_a_cache_chooses_on_captions_of_searches_and_never_costs_more_than_allowed() -> None:
    tried = sweep(("gentle", 1.5, 0.1), ("right", 2.0, 0.2), ("harsh", 2.5, 0.3), ("harsh and bad", 2.5, 0.4))
    saved = {"gentle": 1.6, "right": 1.9, "harsh": 2.4}
    asked: list[str] = []

    def taken(name: str) -> float:
        asked.append(name)
        return saved[name]

    assert chosen(tried, 1.5, taken) == {"cache": "gentle"}
    assert chosen(tried, 2.0, taken) == {"cache": "harsh"}
    assert asked == ["gentle", "right", "harsh"]
    assert chosen(tried, 3.0, taken) == {}


def test_other_captions_are_other_runs(keep: Callable[..., Any], tmp_path: Path) -> None:
    keep(["FORA 2"])
    path = tmp_path / "tried-shapes.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "captions": 32}))
    assert keep(["FORA 2"])[0] == ["FORA 2"]


def test_a_method_is_shown_by_its_run_that_saves_enough_and_least_more() -> None:
    runs = {name: {"method": name[0], "saved": saved} for name, saved in (("a1", 1.9), ("a2", 2.0), ("a3", 3.0))}
    assert at(runs, "a", 2.0) == "a2"
    assert at(runs, "a", 1.95) == "a2"
    assert at(runs, "a", 3.1) is None
    assert at(runs, "b", 1.0) is None
