"""The script for a GPU works from end to end on a CPU, at tiny sizes; what it would find on a GPU nobody has seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from torch._dynamo.utils import counters

from benchmarks.runtime import equal_macs, gpu_report, gpu_speed, speed_schedules
from tests.benchmarks.diffusers_caches import needs_caches

CELLS = ["pixart-tiny, 1 image(s), eager", "pixart-tiny, 1 image(s), default"]


@pytest.fixture(autouse=True)
def fewer_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    torch._dynamo.reset()
    counters.clear()
    for module in (gpu_speed, speed_schedules):
        monkeypatch.setattr(module, "STEPS", 4)
    monkeypatch.setattr(equal_macs, "ENOUGH", 1.1)


def run(out: Path, rounds: int, modes: list[str]) -> dict[str, Any]:
    with pytest.raises(typer.Exit) as ended:
        gpu_speed.main(["pixart-tiny"], [1], modes, rounds, None, out, tiny=True)
    assert ended.value.exit_code == 0
    told: dict[str, Any] = json.loads(out.read_text())
    return told


@needs_caches
def test_it_runs_on_a_cpu_and_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "speed.json"
    first = run(out, 1, ["eager"])["cells"][CELLS[0]]
    expected = {"FORA 2", "skips, every 3 steps run", "forecasts, FORA 3", "one branch in 1/2 of the steps"}
    assert expected <= set(first["rows"])
    assert any("FirstBlockCache" in name for name in first["rows"])
    second = run(out, 2, ["eager"])["cells"][CELLS[0]]
    assert len(second["rounds"]) == 2
    assert second["rounds"][0] == first["rounds"][0]
    monkeypatch.setattr(gpu_speed, "one_branch", lambda _layout: {})  # tracing takes seconds for each combination
    cells = run(out, 1, ["default"])["cells"]
    assert list(cells) == CELLS
    assert cells[CELLS[0]] == second
    assert cells[CELLS[1]]["compiled late"] == 0
    assert cells[CELLS[1]]["largest difference"] < 1e-3
    table = out.with_suffix(".md").read_text()
    assert "published schedules were not given" in table
    assert table.count("| FORA 2 |") == 2


def test_without_cuda_it_says_so_and_times_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is CUDA here")
    with pytest.raises(typer.Exit) as ended:
        gpu_speed.main(out=tmp_path / "speed.json")
    assert ended.value.exit_code == 2
    assert "no CUDA device" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_targets_go_by_the_batch_and_skips_must_arrive_whole() -> None:
    assert gpu_report.target("FORA 2", 16) == 0.95
    assert gpu_report.target("FORA 2", 4) == 0.90
    assert gpu_report.target("skips, every 2 steps run", 1) == 1.0


@pytest.mark.parametrize(
    "cell", [{"compiled late": 1}, {"largest difference": 0.2}, {"largest difference": float("nan")}]
)
def test_late_compiling_and_other_images_are_wrong(cell: dict[str, Any]) -> None:
    assert gpu_report.wrong({"cells": {"one": cell}})
    assert not gpu_report.wrong({"cells": {"one": {"compiled late": 0, "largest difference": 0.01}}})
