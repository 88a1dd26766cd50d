from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from ecad_automl import Front, Layout, Schedule, Slot, load_schedule
from ecad_automl.api import FrontPoint
from ecad_automl.errors import EcadError, StorageError, StudyError
from ecad_automl.models.generation import GenerationSettings
from ecad_automl.schedules.genomes import write_genome
from ecad_automl.sharing import load_index
from storage import BaselineRecord, EvaluationRecord, Store

STEPS = 6
SLOTS = tuple(Slot(f"transformer_blocks.{block}", name, None, 10**9) for block in (0, 1) for name in ("attn1", "ff"))
LAYOUT = Layout("PixArtTransformer2DModel", SLOTS, 10**8)
FULL = Schedule.all_compute(LAYOUT, STEPS)

#: How many steps are computed, and the mean difference to the uncached run.
DIFFERENCES = {6: 0.0, 5: -0.01, 4: -0.3, 3: -0.02, 2: -0.5}


def identity() -> dict[str, Any]:
    return {
        "model": "folder/of-it",
        "revision": "folder-0",
        "scheduler": "DPMSolverMultistepScheduler",
        "scheduler_config": {},
        "dtype": "float32",
        "layout": LAYOUT.to_dict(),
        "generation": GenerationSettings(STEPS, 3.0, 64, 64, 20).to_dict(),
        "prompts": ["a", "b"],
        "seeds": [0],
        "reward": "<fidelity>",
    }


def schedule(computed: int) -> Schedule:
    rows = np.zeros((STEPS, len(LAYOUT)), dtype=bool)
    rows[:computed] = True
    return Schedule(LAYOUT, rows)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A study whose front is known: 6, 5, 3 and 2 computed steps, for 4 lose more than 3."""
    path = tmp_path / "study.db"
    with Store.open(path) as store:
        store.claim_study("known", identity())
        store.save_baseline("known", BaselineRecord("uncached", STEPS, FULL.gmacs, 1.0, 0.0, 0.0))
        for trial, (computed, difference) in enumerate(DIFFERENCES.items()):
            found = schedule(computed)
            record = EvaluationRecord(
                found.to_genome(), found.gmacs, 1.0 + difference, -difference, 0.001, origin="bred", trial=trial
            )
            store.save_evaluation("known", record)
        stopped = replace(record, genome=schedule(1).to_genome(), gmacs=schedule(1).gmacs, trial=9, complete=False)
        store.save_evaluation("known", stopped)
    return path


def computed(point: FrontPoint) -> int:
    return int(point.schedule.effective.any(axis=1).sum())


def test_a_front_goes_from_the_cheapest_schedule_to_the_dearest(database: Path) -> None:
    front = Front.load(database)
    assert [computed(point) for point in front] == [2, 3, 5, 6]
    assert len(front) == 4
    assert front[0] == next(iter(front))
    assert computed(front[-1]) == 6
    assert [computed(point) for point in front[1:3]] == [3, 5]
    assert repr(front) == "Front('known', 4 of 6 evaluated schedules)"


def test_a_point_says_what_was_measured(database: Path) -> None:
    front = Front.load(f"sqlite:///{database}", "known")
    point = front[1]
    assert (point.trial, point.origin, point.reward, point.difference) == (3, "bred", 0.98, -0.02)
    assert point.mac_speedup == pytest.approx(FULL.gmacs / point.schedule.gmacs)
    assert point.speedup == point.mac_speedup
    assert point.latency_ms is None
    assert math.isclose(point.standard_error, 0.001)
    assert point.half == pytest.approx(12.7062 * 0.001, rel=1e-5)  # Student's t over two prompts
    assert front.uncached.schedule == FULL
    assert (front.reward_name, front.cost_name) == ("<fidelity>", "MACs")
    assert [(p.trial, p.complete) for p in front.evaluations][-1] == (9, False)


def test_the_front_of_the_same_number_of_steps_has_what_only_fewer_steps_beat(database: Path, tmp_path: Path) -> None:
    shorter = Schedule.all_compute(LAYOUT, 3)
    with Store.open(database) as store:
        record = EvaluationRecord(write_genome(shorter, STEPS), shorter.gmacs, 1.0, 0.0, 0.001, origin="bred", trial=7)
        store.save_evaluation("known", record)
    front = Front.load(database)
    assert [point.trial for point in front] == [4, 7]
    assert [point.steps for point in front] == [6, 3]
    same = front.same_steps()
    assert [computed(point) for point in same] == [2, 3, 5, 6]
    assert len(same.export(tmp_path / "out")) == 4
    assert list(same.to_pandas()["steps"]) == [6] * 4
    with Store.open(database) as store:
        store.claim_study("shorter alone", identity())
        store.save_baseline("shorter alone", BaselineRecord("uncached", STEPS, FULL.gmacs, 1.0, 0.0, 0.0))
        store.save_evaluation("shorter alone", record)
    with pytest.raises(StudyError, match="no evaluated schedule of its own 6 steps yet"):
        Front.load(database, "shorter alone").same_steps()


def test_points_are_picked_by_speedup_by_drop_and_at_the_knee(database: Path) -> None:
    front = Front.load(database)
    assert computed(front.at_speedup(1.5)) == 3
    assert computed(front.at_speedup(1)) == 6
    assert computed(front.within_drop(0.02)) == 3
    assert computed(front.within_drop(0)) == 6
    assert computed(front.knee()) == 3
    with pytest.raises(StudyError, match="100 times cheaper"):
        front.at_speedup(100)
    with pytest.raises(StudyError, match="at most -1"):
        front.within_drop(-1)


def test_points_are_exported_as_the_command_does(database: Path, tmp_path: Path) -> None:
    from ecad_automl.api.export import export_run
    from ecad_automl.api.stored import read_study

    front = Front.load(database)
    paths = front.export(tmp_path / "all")
    assert [load_schedule(path).schedule for path in paths] == [point.schedule for point in front]
    assert len(load_index(tmp_path / "all")) == len(paths)
    (one,) = front.export(tmp_path / "one", front.knee())
    assert load_schedule(one).metadata.reward == "<fidelity>"
    study = read_study(str(database), None)
    theirs = export_run(study, front.knee(), tmp_path / "command")
    assert one.read_text() == theirs.read_text()
    assert load_schedule(one).metadata.trial == 3
    with pytest.raises(EcadError, match="not of the study"):
        front.export(tmp_path, replace(front[0], schedule=schedule(1).resample(3)))
    (tmp_path / "file").touch()
    with pytest.raises(EcadError, match="cannot be written"):
        front.export(tmp_path / "file")


def test_a_data_frame_has_a_row_per_schedule(database: Path) -> None:
    front = Front.load(database)
    frame = front.to_pandas()
    assert list(frame["difference"]) == [point.difference for point in front]
    assert "schedule" not in frame
    assert len(front.to_pandas(evaluations=True)) == 6


def test_a_plot_is_a_figure_that_notebooks_show_and_a_file(database: Path, tmp_path: Path) -> None:
    drawn = Front.load(database).plot(tmp_path / "plots" / "front.png")
    assert drawn._repr_png_().startswith(b"\x89PNG")
    assert "fidelity" in drawn.axes[0].get_ylabel()
    with Image.open(tmp_path / "plots" / "front.png") as image:
        assert image.width > 300


def test_a_notebook_shows_a_row_and_a_mark_per_schedule(database: Path) -> None:
    front = Front.load(database)
    html = front._repr_html_()
    page = ET.fromstring(html.replace("&larr;", "").replace("&uarr;", ""))
    assert len(page.findall(".//tbody/tr")) == 4
    marks = [mark for mark in page.iter("circle") if mark.attrib["r"] == "4"]
    assert ["".join(mark.itertext()) for mark in marks] == [str(point) for point in front]
    (picture,) = page.iter("svg")
    assert "4 schedules of the front" in picture.attrib["aria-label"]
    texts = ["".join(text.itertext()) for text in page.iter("text")]
    assert texts[-2:] == ["times cheaper than uncached (MACs) →", front.reward_name]
    assert {"1x", "1.5x", "2x", "0.6", "1"} <= set(texts)
    (ring,) = [mark for mark in page.iter("circle") if mark.attrib["r"] == "8"]
    assert "".join(ring.itertext()) == str(front.recommended)
    assert "<fidelity>" not in html
    assert "<script" not in html
    assert str(front[1]) in front[1]._repr_html_()
    assert str(front[1]).startswith("trial 3 (bred): ")


def test_a_notebook_draws_uncached_runs_of_fewer_steps(database: Path) -> None:
    with Store.open(database) as store:
        store.save_baseline("known", BaselineRecord("3 steps", 3, FULL.gmacs / 2, 0.9, 0.1, 0.0))
    page = ET.fromstring(Front.load(database)._repr_html_())
    (mark,) = [mark for mark in page.iter("circle") if mark.attrib["r"] == "2.5"]
    assert "".join(mark.itertext()).startswith("3 steps: ")
    dashed = next(line for line in page.iter("polyline") if "stroke-dasharray" in line.attrib)
    assert dashed.attrib["points"].endswith(f"{mark.attrib['cx']},{mark.attrib['cy']}")


def test_a_front_without_the_uncached_run_is_compared_with_it(database: Path) -> None:
    with Store.open(database) as store:
        record = store.evaluation("known", FULL.to_genome())
        assert record is not None
        store.save_evaluation("known", replace(record, feasible=False))
    html = Front.load(database)._repr_html_()
    page = ET.fromstring(html.replace("&larr;", "").replace("&uarr;", ""))
    assert "".join(page.findall(".//tbody/tr")[-1].itertext()).startswith("uncached1.00x")


def test_an_empty_front_can_be_shown_but_not_chosen_from(database: Path) -> None:
    with Store.open(database) as store:
        for record in store.evaluations("known"):
            store.save_evaluation("known", replace(record, feasible=False))
    front = Front.load(database)
    assert len(front) == 0
    assert "0 of 6" in front._repr_html_()
    with pytest.raises(StudyError, match="no evaluated schedule"):
        front.knee()


def test_loading_a_front_needs_no_torch_optuna_or_matplotlib(database: Path) -> None:
    code = (
        "import sys\n"
        "from ecad_automl import Front\n"
        f"front = Front.load({str(database)!r})\n"
        "front.knee()._repr_html_(), front._repr_html_()\n"
        "heavy = {'torch', 'diffusers', 'optuna', 'matplotlib', 'lightgbm'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_studies_that_are_not_there(database: Path, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no study database"):
        Front.load(tmp_path / "none.db")
    with pytest.raises(StudyError, match="no study 'other'.*'known'"):
        Front.load(database, "other")
    with Store.open(database) as store:
        store.claim_study("second", identity())
    with pytest.raises(StudyError, match="2 studies"):
        Front.load(database)
    with pytest.raises(StudyError, match="no evaluated schedule yet"):
        Front.load(database, "second")
