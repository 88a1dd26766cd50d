from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from PIL import Image

from ecad_automl.views.report import markdown_text, write_pictures
from ecad_automl.views.study import file_name_of
from ecad_automl.views.usage import python_snippet
from tests.views.report.made_up import HOSTILE_NAME, made_up_report, report_of_several_steps

ALL = {"front", "confirmed", "schedule", "shares", "images", "hypervolume", "surrogate"}


def test_pictures_show_what_there_is(tmp_path: Path) -> None:
    paths = write_pictures(made_up_report(), tmp_path / "new")
    assert set(paths) == ALL
    for path in paths.values():
        with Image.open(path) as picture:
            assert picture.format == "PNG"
            assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 10


def test_the_table_has_the_front_heuristics_and_fewer_steps() -> None:
    data = made_up_report()
    text = markdown_text(data, {})
    rows = [line for line in text.splitlines() if re.match(r"\| \d+ \|", line)]
    unseen = "-0.1080 ± 0.0200, beaten by 2 steps"
    assert rows[0] == f"| 0 | bred | 5.00x | 1.20 | 35% | 0.9100 | -0.0900 ± 0.0100 | {unseen} |"
    assert len(rows) == 6 + 2
    assert "|  | 4 steps | 1.50x | 4.00 | 100% | 0.9500 | -0.0500 ± 0.0200 |  |" in text


def test_every_row_has_as_many_cells_as_the_heading() -> None:
    text = markdown_text(made_up_report(), {})
    table = [line for line in text[text.index("## Schedules") :].splitlines() if line.startswith("|")]
    widths = {line.replace("\\|", "").count("|") for line in table if "trial" in line or "uncached" in line}
    assert widths == {9}


def test_texts_of_the_study_are_no_markup() -> None:
    text = markdown_text(made_up_report(), {})
    outside = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    assert "<script>" not in outside.replace("\\<", "")
    assert "# cats \\& \\<i\\>dogs" in text


def test_it_says_how_to_apply_a_schedule() -> None:
    data = made_up_report()
    text = markdown_text(data, {"front": "x/front.png"})
    assert "![Reward against cost, in the search.](<x/front.png>)" in text
    assert data.study.recommended is not None
    chosen = data.study.recommended.run
    assert f"\n  --trial {chosen.trial} --out schedules\n```" in text
    file = f"{file_name_of(HOSTILE_NAME)}-{chosen.speedup:.2f}x-trial{chosen.trial}.json"
    assert f'with apply_schedule(pipe, "schedules/{file}")' in text
    assert f"**Recommended:** trial {chosen.trial} " in text


def test_a_study_that_was_not_confirmed_has_no_such_columns(tmp_path: Path) -> None:
    data = made_up_report(confirmed=False, images=False)
    assert "confirmed" not in markdown_text(data, {})
    assert set(write_pictures(data, tmp_path)) == ALL - {"confirmed", "images"}


def test_a_schedule_of_fewer_steps_says_so_and_is_applied_with_them() -> None:
    data = report_of_several_steps()
    text = markdown_text(data, {})
    assert "| trial | origin | fewer MACs | GMACs | steps | run | guided | slots |" in text
    assert "| 1 | bred | 2.78x | 2.16 | 4 | 3 | 1 | 100% |" in text
    assert "| 3 | bred | 1.47x | 4.08 | 6 | 6 | " in text
    assert data.study.recommended is not None
    chosen = data.study.recommended.run
    assert f"Trial {chosen.trial}, {chosen.speedup:.2f}x:" in text
    assert f"num_inference_steps={chosen.steps}" in text
    assert "num_inference_steps=4" in python_snippet(data.study, "a.json", 4)
