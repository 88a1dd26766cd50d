from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.search.whole_fronts import equal_quality, table


def run(name: str, saved: float, loss: float, *, steps: bool = False) -> dict[str, Any]:
    noise = np.random.default_rng(0).uniform(0.9, 1.1, (8, 2))
    return {"run": name, "fewer steps": steps, "saved": saved, "loss": (loss * noise).tolist()}


FOUND = {
    "one": {
        "runs": [
            run("bred", 4.0, 0.3),
            run("4 steps", 4.5, 0.5, steps=True),
            run("bred", 3.0, 0.1),
            run("5 steps", 3.0, 0.2, steps=True),
            run("bred", 2.0, 0.05),
            run("10 steps", 2.0, 0.04, steps=True),
            run("bred", 1.2, 0.01),
        ]
    }
}


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_schedules_are_compared_with_fewer_steps_of_at_most_their_cost() -> None:
    schedules, compared, further, nearer, surely, ratios = cells(table(FOUND)[2])[1:]
    assert (schedules, compared, further, nearer, surely) == ("4", "4", "3", "1", "1")
    assert ratios == "0.8, 1.8"


def test_at_the_quality_of_fewer_steps_a_schedule_saves_more() -> None:
    found = [cells(line)[1:] for line in equal_quality(FOUND)[2:]]
    assert [line[0] for line in found] == ["10 steps", "5 steps", "4 steps"]
    assert [line[2:4] for line in found] == [["2.00x", "1.20x"], ["3.00x", "3.00x"], ["4.50x", "4.00x"]]
