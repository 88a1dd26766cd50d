from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.search.levers import LEVERS, WHOLE, table
from benchmarks.search.searched import HEAD, needing_no_search, rows


def run(loss: float, captions: int, saved: float = 2.0, method: str = "x") -> dict[str, Any]:
    """Figures of two noises whose later captions are far off."""
    values = np.full((captions, 2), loss)
    values[4:] = 100.0
    return {"method": method, "saved": saved, **{name: values.tolist() for name in ("loss", "psnr", "margin")}}


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_runs_are_compared_on_the_captions_that_all_have() -> None:
    found = rows(2.0, {"search": run(0.1, 4), "steps": run(0.3, 96), "none": None}, "search")
    assert [cells(line)[1] for line in found] == ["search", "steps"]
    assert cells(found[1])[3] == "0.3000"
    assert cells(found[1])[-1].startswith("+0.2000 (")
    assert cells(found[0])[-1] == ""
    assert all(len(cells(line)) == len(cells(HEAD[0])) for line in found)


def test_each_method_stands_for_itself_at_a_saving() -> None:
    runs = {"7 steps": run(0.2, 4, 2.9, "steps"), "5 steps": run(0.4, 4, 4.0, "steps")}
    assert list(needing_no_search(runs, 2.0, ("steps", "quick"))) == ["7 steps", "quick"]
    assert needing_no_search(runs, 2.0, ("quick",)) == {"quick": None}
    assert needing_no_search({}, 2.0, ("steps",)) == {"steps": None}


def test_a_table_has_a_line_for_each_lever_there_is() -> None:
    runs = {
        f"{lever}, {speedup:g}x, seed {seed}": run(0.1 + seed, 4, speedup)
        for lever in list(LEVERS)[:2]
        for speedup in (1.5, 2.0)
        for seed in (0, 1)
    }
    found = table(runs, {"10 steps": run(0.5, 8, 2.0, "steps")})
    assert found[:2] == list(HEAD)
    by_saving = {saving: [cells(line)[1] for line in found[2:] if cells(line)[0] == saving] for saving in ("2x", "3x")}
    assert by_saving == {"2x": [WHOLE, "steps fixed", "10 steps"], "3x": []}
    whole, _, fewer = [cells(line) for line in found[2:] if cells(line)[0] == "2x"]
    assert whole[3] == "0.6000"  # mean of two seeds
    assert whole[4].endswith("; seeds 0.1000 to 1.1000)")
    assert fewer[-1].startswith("-0.1000 (")


@pytest.mark.parametrize("lever", LEVERS)
def test_options_of_levers_are_those_of_a_search(lever: str) -> None:
    import inspect

    import ecad_automl

    assert set(LEVERS[lever]) <= set(inspect.signature(ecad_automl.search).parameters)
