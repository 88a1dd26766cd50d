"""A study that minimizes latency, from the search to the exported schedule."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from storage import Store

Arguments = Callable[[Path, int], list[str]]
Cli = Callable[..., tuple[int, str, str]]


@pytest.mark.slow
def test_a_latency_study_from_search_to_export(tmp_path: Path, run_cli: Cli, search_arguments: Arguments) -> None:
    latency = ["--cost", "latency", "--latency-schedules", "12", "--latency-batch-size", "2"]
    code, out, err = run_cli(*search_arguments(tmp_path, 16), *latency)
    assert code == 0, out + err
    assert "12 schedules timed on" in err
    with Store.open(tmp_path / "study.db") as store:
        model = store.calibration("tiny", "latency")
        records = store.evaluations("tiny", scores=False)
        assert (store.identity("tiny") or {})["cost"] == {"name": "latency", "batch_size": 2}
    assert all((record.latency_ms or 0) > 0 for record in records)

    # The same command goes on with the same model; another cost under this name is refused.
    code, out, err = run_cli(*search_arguments(tmp_path, 20), *latency)
    assert code == 0, out + err
    with Store.open(tmp_path / "study.db") as store:
        assert store.calibration("tiny", "latency") == model
        assert len(store.evaluations("tiny", scores=False)) == 20
    code, out, err = run_cli(*search_arguments(tmp_path, 22))
    assert code == 2
    assert "cost" in err
    assert err.splitlines()[-1].startswith("Error: ")

    storage = ("--storage", tmp_path / "study.db")
    code, out, _ = run_cli("front", *storage)
    assert code == 0
    for text in ("fast", "ms", "MACs", "uncached"):
        assert text in out
    code, out, _ = run_cli("export", *storage, "--knee", "--out", tmp_path / "schedules")
    assert code == 0
    assert "x as fast" in out
    (path,) = (tmp_path / "schedules").glob("*.json")
    objectives = json.loads(path.read_text())["metadata"]["objectives"]
    assert objectives["latency_ms"]["unit"] == "ms"
    assert f"-{objectives['latency_speedup']['value']:.2f}x-" in path.name
    assert run_cli("plot", *storage, "--out", tmp_path / "plots")[0] == 0
    assert (tmp_path / "plots" / "tiny-front.png").exists()

    (tmp_path / "unseen.txt").write_text("a small green cross\na large hollow circle\n")
    code, out, err = run_cli("confirm", *storage, "--prompts", tmp_path / "unseen.txt", "--device", "cpu")
    assert code == 0, err
    assert "fast" in out
    with Store.open(tmp_path / "study.db") as store:
        assert all((record.latency_ms or 0) > 0 for record in store.confirmations("tiny"))


@pytest.mark.slow
def test_a_mac_study_cannot_be_made_a_latency_study(tmp_path: Path, run_cli: Cli, search_arguments: Arguments) -> None:
    code, out, err = run_cli(*search_arguments(tmp_path, 4))
    assert code == 0, out + err
    with Store.open(tmp_path / "study.db") as store:
        assert "cost" not in (store.identity("tiny") or {})
    code, _, err = run_cli(*search_arguments(tmp_path, 6), "--cost", "latency")
    assert code == 2
    assert "cost" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--cost", "dollars"), "'dollars', but one of 'gmacs' or 'latency' is expected"),
        (
            ("--cost", "latency", "--latency-batch-size", "0"),
            "--latency-batch-size is 0, but a number of at least 1 is expected",
        ),
        (("--cost", "latency", "--latency-schedules", "3"), "needs 12"),
    ],
)
def test_senseless_costs_are_refused(run_cli: Cli, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    code, _, err = run_cli("search", *arguments, "--storage", tmp_path / "s.db")
    assert code == 2
    assert message in err
    assert not (tmp_path / "s.db").exists()
