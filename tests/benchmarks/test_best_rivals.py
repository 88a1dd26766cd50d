from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.search.best_rivals import table


def run(losses: list[float], method: str, saved: float = 2.0) -> dict[str, Any]:
    return {"method": method, "saved": saved, "loss": [[loss, loss] for loss in losses]}


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_best_rival_is_the_one_of_least_loss_that_saves_enough_and_needs_no_search() -> None:
    searches = {
        f"search, 2x, seed {seed}": {
            **run([1.0 + seed, 3.0 + seed], "search"),
            "psnr": [[1, 1]] * 2,
            "margin": [[1, 1]] * 2,
        }
        for seed in (0, 1)
    }
    others = {
        "uncached": run([0.0] * 3, "uncached", 1.0),
        "quick, 10": run([2.0, 3.0, 99.0], "quick"),
        "10 steps": run([5.0, 6.0, 0.0], "steps"),
        "FORA 2": run([9.0, 3.0, 0.0], "FORA", 1.98),
        "broken": {"method": "PAB", "failed": "no", "saved": 2.0},
        "DPCache, 10": run([5.0, 5.0, 0.0], "DPCache"),
    }
    head, _, line = table({"bed": (searches, others)})
    found = dict(zip(cells(head), cells(line), strict=True))
    assert found["search"] == "2.5000"  # of both seeds
    assert found["`quick`"] == "2.5000"  # on the captions of the searches alone
    assert found["25 evaluations"] == ""
    assert found["best rival"] == "DPCache, 10, 5.0000"
    ratio, low, _, high = found["search / rival (95 %)"].replace("(", "").replace(")", "").split()
    assert float(low) <= float(ratio) == 0.5 <= float(high)
    assert found["captions won"] == "100%"


def test_a_saving_that_no_search_was_run_at_has_no_line() -> None:
    assert len(table({"bed": ({}, {"10 steps": run([1.0, 2.0], "steps")})})) == 2


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_the_interval_of_a_ratio_holds_what_all_captions_share(factor: float) -> None:
    losses = np.linspace(1.0, 3.0, 12)
    search = {**run((factor * losses).tolist(), "search"), "psnr": [[1, 1]] * 12, "margin": [[1, 1]] * 12}
    line = table({"bed": ({"search, 2x, seed 0": search}, {"10 steps": run(losses.tolist(), "steps")})})[-1]
    assert cells(line)[-2] == f"{factor:.2f} ({factor:.2f} to {factor:.2f})"
