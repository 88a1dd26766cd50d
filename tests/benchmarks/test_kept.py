from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.kept import Point, Run, keep, kept_run, kept_runs
from benchmarks.search import sample_efficiency
from benchmarks.search.cells import Cell
from benchmarks.search.efficiency_report import at_marks, by_images, needed_images, plot, table
from benchmarks.search.yardstick import Yardstick

YARDSTICK = Yardstick(uncached=1.0, short=0.0, cheapest=-1.0, gmacs=10.0)
#: 4 images a whole evaluation; the search had paid for 4 before its first, and stopped two candidates on the way.
POINTS = [
    Point(1.0, 10.0, 8, "aa", (1.0, 1.0)),
    Point(0.5, 5.0, 12, "bb", (0.25, 0.75)),
    Point(0.4, 6.0, 18, "cc", (0.4, 0.4)),
    Point(0.9, 4.0, 24, "dd", (0.8, 1.0)),
]
MADE = {"commit": "abc", "code": "123"}


def test_kept_runs_come_back_with_the_genomes_of_their_fronts(tmp_path: Path) -> None:
    run = Run(7, POINTS, {"generations": [[0, 3]]}, MADE)
    keep("shapes", "pymoo NSGA-II (ECAD)", 3, run, tmp_path)
    keep("shapes", "pymoo NSGA-II (ECAD)", 12, Run(7, POINTS[:1]), tmp_path)
    keep("shapes", "pymoo NSGA-II", 3, Run(7, POINTS[:2]), tmp_path)
    found = kept_runs("shapes", "pymoo NSGA-II (ECAD)", tmp_path)
    assert list(found) == [3, 12]
    assert [point[:3] for point in found[3].points] == [point[:3] for point in POINTS]
    assert [point.genome for point in found[3].front()] == ["dd", "aa"]
    assert (found[3].about, found[3].made) == (run.about, MADE)
    assert [point.scores for point in found[3].points] == [point.scores for point in POINTS]
    document = json.loads((tmp_path / "shapes" / "pymoo_NSGA-II_(ECAD)-3.json").read_text())
    assert "torch" in document["machine"]["versions"]


def test_runs_from_before_code_was_kept_are_read(tmp_path: Path) -> None:
    (tmp_path / "shapes").mkdir()
    old = {"evaluations": 7, "about": {}, "front": {"0": "aa"}, "points": [[1.0, 10.0, 8]]}
    (tmp_path / "shapes" / "random-0.json").write_text(json.dumps(old))
    assert kept_runs("shapes", "random", tmp_path)[0] == Run(7, [Point(1.0, 10.0, 8, "aa")])


@pytest.mark.parametrize(
    ("evaluations", "code", "accept", "todo", "told"),
    [
        (7, "123", False, 0, 0),
        (8, "123", False, 1, 0),
        (7, "456", False, 1, 1),
        (7, "456", True, 0, 1),
        (8, "456", True, 1, 0),
    ],
)
def test_a_run_of_other_code_is_never_silently_taken_for_done(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    evaluations: int,
    code: str,
    accept: bool,
    todo: int,
    told: int,
) -> None:
    keep("shapes", "random", 3, Run(7, POINTS, {}, MADE), tmp_path)
    monkeypatch.setattr(sample_efficiency, "kept_run", partial(kept_run, folder=tmp_path))
    said: list[str] = []
    cell = Cell("shapes", "random", 3, evaluations, {"commit": "def", "code": code})
    assert len(sample_efficiency.unfinished([cell], accept, said.append)) == todo
    assert len(said) == told
    assert all("random 3" in text and "abc" in text for text in said)


def test_logs_of_other_code_are_other_logs(tmp_path: Path) -> None:
    logs = {Cell("shapes", "random", 3, 7, {"commit": "c", "code": code}).log(tmp_path) for code in ("1", "2")}
    assert len(logs) == 2


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
