"""The changes that docs/adding.md shows can be made, and what they add works."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import code_spans

ROOT = Path(__file__).parents[2]
PACKAGES = ("ecad_automl", "studies", "surrogate", "storage", "tests", "training")
PAGE = (ROOT / "docs" / "adding.md").read_text(encoding="utf-8")
#: Titles, and the changes below them.
CHANGES = re.findall(r"^## (.+?)\n.*?```diff\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE)

USES = """\
import sys
import warnings
from pathlib import Path

import numpy as np
import torch

warnings.simplefilter("error", UserWarning)

from ecad_automl import apply_schedule
from ecad_automl.rewards import load_reward
from ecad_automl.runtime.families import family_of
from ecad_automl.schedules.heuristics import default_heuristics
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.schedules.schedule_file import save_schedule
from studies.breeding.grid import Grid
from studies.breeding.mutation import MUTATIONS
from studies.breeding.offspring import breed
from tests import commands
from tests.runtime.cases.generic import GENERIC_CASES

case = GENERIC_CASES["ovis"]()
assert family_of(case.pipe.transformer).pipelines == ("OvisImagePipeline",)  # known, so without a warning
plain = case.generate()
with apply_schedule(case.pipe, Schedule.all_compute(case.layout, 4)):
    assert torch.equal(case.generate(), plain)

schedule = default_heuristics(case.layout, 12)["warmed-fora-3"]
assert schedule.compute.all(axis=1).tolist() == [True] * 4 + [False] * 2 + [True] + [False] * 2 + [True] + [False] * 2

images = torch.zeros(2, 3, 8, 8)
images[1, :, ::2] = 1
assert load_reward("sharpness").score(images, ["", ""]).argmax() == 1
assert load_reward("worst-pixel").score_pairs(images, torch.zeros_like(images), ["", ""]).tolist() == [0, 1]
assert not load_reward("worst-pixel").higher_is_better

grid = Grid(case.layout.block_index, case.layout.component_index)
parents = np.random.default_rng(0).random((4, 12, len(case.layout))) < 0.5
only = {name: float(name == "delay-slot") for name in MUTATIONS}
children, names = breed(parents, grid, np.random.default_rng(0), 16, only)
assert sum("delay-slot" in name for name in names) > 4
assert children[:, : grid.fixed].all()

save_schedule(Path(sys.argv[1]), schedule)
assert commands.run("steps", sys.argv[1]) == 0
"""


@pytest.mark.slow
def test_each_change_takes_one_file_and_one_line_and_what_it_adds_works(tmp_path: Path) -> None:
    for name in PACKAGES:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "weights"))
    assert len(CHANGES) == 6
    for title, change in CHANGES:
        command = ["git", "apply", "-"]
        done = subprocess.run(command, cwd=tmp_path, input=change, text=True, capture_output=True, check=False)
        assert done.returncode == 0, f"{title}: {done.stderr}"
    done = subprocess.run(
        [sys.executable, "-c", USES, tmp_path / "schedule.json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["0,", "1,", "2,", "3,", "6,", "9"]


@pytest.mark.parametrize("page", ["contributing.md", "design.md"])
def test_files_that_are_named_are_there(page: str) -> None:
    """By their whole path, or below the folder of one that was named before."""
    places = [ROOT, ROOT / "ecad_automl"]
    for span in code_spans((ROOT / "docs" / page).read_text(encoding="utf-8")):
        if not re.fullmatch(r"[\w./]+(/|\.py)", span):
            continue
        found = [place / span for place in places if (place / span).exists()]
        assert found, f"{page}: {span}"
        places.append(found[-1] if span.endswith("/") else found[-1].parent)
