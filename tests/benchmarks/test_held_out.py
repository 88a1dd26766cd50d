from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.kept import Point, Run
from benchmarks.search import held_out_report
from benchmarks.search.found import chosen, name_of
from benchmarks.search.our_search import OURS


def run_of(loss: float, saved: float, method: str = "found") -> dict[str, Any]:
    rng = np.random.default_rng(int(100 * saved))
    losses = (loss * rng.gamma(8.0, 1 / 8, size=(24, 2))).tolist()
    return {"method": method, "saved": saved, "loss": losses, "psnr": [[40.0]] * 24, "margin": [[1.0]] * 24}


@pytest.fixture
def runs() -> dict[str, Any]:
    return {"a": run_of(0.1, 2.0), "b": run_of(0.2, 3.1), "c": run_of(0.3, 2.0)}


STANDS = {
    "random": {"0": {"runs": {"1.3": "c", "1.5": "c", "2": "c"}}},
    OURS: {
        "0": {"runs": {"1.3": "a", "1.5": "a", "2": "a", "3": "b"}},
        "1": {"runs": {"1.3": "a", "1.5": "a", "2": "b", "3": "b"}},
    },
}


def test_what_stands_for_a_search_costs_no_more_than_allowed() -> None:
    points = [
        Point(0.0, 10.0, 1, "full"),
        Point(-0.1, 5.1, 2, "dear"),
        Point(-0.2, 5.0, 3, "half"),
        Point(-1, 2, 4, "x"),
    ]
    found = chosen(Run(4, points), 10.0)
    assert found == {1.3: "dear", 1.5: "dear", 2.0: "half", 3.0: "x", 4.0: "x"}
    assert len({name_of(genome) for genome in found.values()}) == 3


def test_seeds_of_a_search_are_averaged_image_by_image(runs: dict[str, Any]) -> None:
    fronts = held_out_report.fronts(STANDS, runs)
    assert list(fronts["random"]) == [1.3, 1.5, 2.0]
    losses, psnr, saved = fronts[OURS][2.0]
    assert np.allclose(losses, (np.array(runs["a"]["loss"]) + np.array(runs["b"]["loss"])) / 2)
    assert (psnr.shape, saved) == ((24, 1), 2.55)


def test_the_table_has_this_search_first_and_what_needs_none_beside_it(runs: dict[str, Any]) -> None:
    known = {"uncached": run_of(0.0, 1.0, "uncached"), "10 steps": run_of(0.5, 2.0, "steps")}
    text = held_out_report.page(STANDS, runs, known)
    at_two = [line for line in text if line.startswith("| 2x")]
    assert [line.split(" | ")[1] for line in at_two] == [OURS, "random", "fewer steps"]
    assert "100%" in at_two[2]
    assert [line for line in text if line.startswith("| 3x | random")] == []
    assert len([line for line in text if line.startswith("| fewer steps |")]) == 1


def test_hypervolume_is_drawn_against_its_floor(runs: dict[str, Any], tmp_path: Path) -> None:
    held_out_report.plot(tmp_path / "curves.png", "shapes", held_out_report.fronts(STANDS, runs), [0.1, 1.0])
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.width > picture.height
