"""A front from one uncached run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import ecad_automl
from ecad_automl.api import QuickFront
from ecad_automl.cli.app import app
from ecad_automl.errors import OptionError, PromptError
from ecad_automl.schedules.schedule_file import load_schedule

PROMPTS = ["a red circle", "two blue squares", "a green triangle"]


@pytest.fixture(scope="module")
def front() -> QuickFront:
    return ecad_automl.quick("shapes", PROMPTS, images=3, steps=6, check=2, reward="shapes-fidelity")


def test_it_goes_from_dear_to_cheap_and_from_no_error_to_much(front: QuickFront) -> None:
    speedups = [point.speedup for point in front]
    errors = [point.predicted_error for point in front]
    assert speedups == sorted(speedups)
    assert errors == sorted(errors)
    assert speedups[0] > 1
    assert speedups[-1] <= 5
    assert any(point.schedule.skip.any() for point in front)
    assert len({point.name for point in front}) == len(front)


def test_some_are_checked_where_asked(front: QuickFront) -> None:
    checked = [point.checked for point in front]
    assert [index for index, each in enumerate(checked) if each is not None] == [0, len(front) - 1]
    assert checked[0] is not None and checked[-1] is not None
    assert 0 >= checked[0].difference.mean > checked[-1].difference.mean


def test_a_schedule_is_moved_to_another_number_of_steps_with_weights_of_such_runs(front: QuickFront) -> None:
    given = next(point.schedule for point in front if point.schedule.forecast.any())
    moved = ecad_automl.quick("shapes", PROMPTS, images=2, steps=9, like=given).points
    assert [point.schedule.steps for point in moved] == [9]
    assert moved[0].schedule.forecast.any()
    assert (~moved[0].schedule.skip).sum() == (~given.skip).sum()
    (same,) = ecad_automl.quick("shapes", PROMPTS, images=2, steps=6, like=given)
    assert same.schedule.with_fitted(None) == given.with_fitted(None)


def test_the_command_moves_a_schedule_and_says_how_to_score_it(front: QuickFront, tmp_path: Path) -> None:
    (path,) = [path for path in front.save(tmp_path / "from") if path.stem == front.points[0].name]
    out = tmp_path / "to"
    command = ["quick", "--images", "2", "--steps", "4", "--like", str(path), "--out", str(out)]
    found = CliRunner().invoke(app, command)
    assert found.exit_code == 0, found.output
    (written,) = out.glob("*.json")
    assert load_schedule(written).schedule.steps == 4
    assert f"ecad-automl evaluate --model shapes --schedule {written}" in found.stdout


def test_schedules_are_chosen_by_speedup(front: QuickFront) -> None:
    assert front.at(1.5).mac_speedup >= 1.5 - 1e-6
    assert front.at(1.01) == front.points[0].schedule
    with pytest.raises(OptionError, match="speedup of 99 .*ends at"):
        front.at(99)


def test_files_hold_what_is_needed_to_run_them(front: QuickFront, tmp_path: Path) -> None:
    paths = front.save(tmp_path / "new")
    assert len(paths) == len(front)
    for path, point in zip(paths, front, strict=True):
        found = load_schedule(path)
        assert found.schedule == point.schedule
        assert found.metadata.model == "shapes"
        assert found.metadata.objectives["predicted_error"].value == pytest.approx(point.predicted_error)
        assert ("reward_difference" in found.metadata.objectives) == (point.checked is not None)
    model = ecad_automl.load_model("shapes").with_settings(steps=6)
    with ecad_automl.apply_schedule(model.pipe, load_schedule(paths[-1]).schedule):
        image = model.pipe(PROMPTS[0], **model.settings.call_arguments(), output_type="np").images
    assert np.isfinite(image).all()


def test_the_command_writes_a_front(tmp_path: Path) -> None:
    command = ["quick", "--images", "2", "--steps", "6", "--out", str(tmp_path), "--json"]
    found = CliRunner().invoke(app, command)
    assert found.exit_code == 0, found.output
    document = json.loads(found.stdout)
    assert document["schema"] == "ecad-automl/quick/1"
    assert sorted(each["file"] for each in document["schedules"]) == sorted(map(str, tmp_path.glob("*.json")))
    assert all(each["reward"] is None for each in document["schedules"])


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(PromptError, match="no prompts"):
        ecad_automl.quick("shapes", [])
    with pytest.raises(OptionError, match=r"^There are 0 images and 0 checks"):
        ecad_automl.quick("shapes", PROMPTS, images=0)
    with pytest.raises(OptionError, match=r"3 things are wrong: .*no prompts.*'engines', but 'whole-steps'.*0 images"):
        ecad_automl.quick("shapes", [], images=0, deploy="engines")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="leave deploy out"):
        ecad_automl.quick("shapes", PROMPTS, deploy="whole-steps", like="some.json")
    with pytest.raises(OptionError, match="give the pipeline and calls alone"):
        ecad_automl.quick("shapes", calls=[{"prompt": PROMPTS[0]}])
