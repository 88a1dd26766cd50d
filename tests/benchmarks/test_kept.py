from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.kept import Point, Run, keep, kept_runs
from benchmarks.search.efficiency_report import at_marks, by_images, needed_images, plot, table
from benchmarks.search.yardstick import Yardstick

YARDSTICK = Yardstick(uncached=1.0, short=0.0, cheapest=-1.0, gmacs=10.0)
#: 4 images a whole evaluation; the search had paid for 4 before its first, and stopped two candidates on the way.
POINTS = [Point(1.0, 10.0, 8, "aa"), Point(0.5, 5.0, 12, "bb"), Point(0.4, 6.0, 18, "cc"), Point(0.9, 4.0, 24, "dd")]


def test_kept_runs_come_back_with_the_genomes_of_their_fronts(tmp_path: Path) -> None:
    run = Run(7, POINTS, {"generations": [[0, 3]]})
    keep("shapes", "pymoo NSGA-II (ECAD)", 3, run, tmp_path)
    keep("shapes", "pymoo NSGA-II (ECAD)", 12, Run(7, POINTS[:1]), tmp_path)
    keep("shapes", "pymoo NSGA-II", 3, Run(7, POINTS[:2]), tmp_path)
    found = kept_runs("shapes", "pymoo NSGA-II (ECAD)", tmp_path)
    assert list(found) == [3, 12]
    assert [point[:3] for point in found[3].points] == [point[:3] for point in POINTS]
    assert [point.genome for point in found[3].front()] == ["dd", "aa"]
    assert found[3].about == run.about


def test_nothing_is_kept_of_a_search_that_was_not_run(tmp_path: Path) -> None:
    assert kept_runs("shapes", "random", tmp_path) == {}


def test_hypervolume_is_counted_in_images_that_were_paid_for() -> None:
    curve = by_images(Run(7, POINTS), YARDSTICK, images=4)
    # Of 4 x 7 images: nothing is there before 8 of them, (0.5, 5) halves the cost from 12 on, (0.9, 4) comes with 24.
    assert curve == pytest.approx([0.0, 0.0, 0.25, 0.25, 0.25, 0.54, 0.54])
    assert needed_images(Run(7, POINTS), YARDSTICK, 0.25) == 12
    assert needed_images(Run(7, POINTS), YARDSTICK, 0.5) == 24
    assert needed_images(Run(7, POINTS), YARDSTICK, 0.6) is None


def test_tables_tell_median_and_range() -> None:
    marks = at_marks([np.linspace(0, 1, 50), np.linspace(0, 0.5, 30)])
    assert {mark: len(values) for mark, values in marks.items()} == {24: 2, 50: 1}
    text = table({"ours": marks}, {"ours": 2})
    assert "| ours | 2 | 0.433 (0.397 to 0.469) | 1.000 |" in text


def test_curves_are_drawn_side_by_side(tmp_path: Path) -> None:
    curves = [np.linspace(0, 1, 60), np.linspace(0, 0.9, 40)]
    plot(tmp_path / "curves.png", {"left": {"ours": curves, "other": curves[:1]}, "right": {"ours": curves}}, images=16)
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.width > picture.height
