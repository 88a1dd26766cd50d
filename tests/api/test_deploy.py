"""A search of schedules that other engines run, from the first image to a mask of steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecad_automl import Front, quick
from ecad_automl.errors import OptionError
from ecad_automl.schedules.whole_steps import of_whole_steps, whole_steps_of
from storage import Store, check_database
from studies import SearchConfig
from tests.api.conftest import METHOD

Search = Callable[..., Any]
CONFIG = SearchConfig(evaluations=9, offspring=3, heuristics="fora", steps_from=0.6, **METHOD)
CALL: dict[str, Any] = {"steps": 8, "config": CONFIG, "guidance_scale": 4.0}


def test_every_candidate_is_what_its_mask_stands_for(by_call: Search, tmp_path: Path) -> None:
    database = tmp_path / "deployed.db"
    by_call(database, 9, deploy="whole-steps", **CALL)
    by_call(database, 14, **CALL)  # goes on with what it began with
    front = Front.load(database)
    with Store.open(database, read_only=True) as store:
        genomes = store.genomes(front.study)
        found = [(run, genomes.schedule(str(run.genome))) for run in front._study.runs]
    assert any(run.generation for run, _ in found)
    assert any(run.steps < 8 for run, _ in found)
    for run, schedule in found:
        mask = whole_steps_of(schedule)
        assert mask is not None
        assert schedule == of_whole_steps(schedule.layout, mask)
        # The floor is counted: a step that is not computed costs its first block, and all outside of the blocks.
        assert run.gmacs == pytest.approx(schedule.gmacs)
        rest = schedule.macs_by_step[~mask]
        assert (rest > schedule.layout.constant_macs).all()
    assert len({np.asarray(whole_steps_of(schedule)).tobytes() for _, schedule in found}) == len(found)
    assert not check_database(database).findings


@pytest.mark.parametrize("other", [{"use": "forecast"}, {"guidance": "search"}])
def test_what_engines_do_not_do_is_refused(by_call: Search, tmp_path: Path, other: dict[str, str]) -> None:
    with pytest.raises(OptionError, match=r"for other engines \(deploy whole-steps\) are of"):
        by_call(tmp_path / "refused.db", 9, deploy="whole-steps", **CALL, **other)


def test_a_quick_front_of_masks_goes_to_an_engine(
    tiny_pixart_folder: Path, tmp_path: Path, run_cli: Callable[..., tuple[int, str, str]]
) -> None:
    call = {"images": 2, "steps": 6, "height": 16, "width": 16}
    front = quick(str(tiny_pixart_folder), ["a", "b"], deploy="whole-steps", **call)
    assert len(front)
    for point in front:
        assert whole_steps_of(point.schedule) is not None
        assert "the first block alone in the others" in point.action
    file = front.save(tmp_path / "quick")[-1]
    code, _, err = run_cli("convert", file, tmp_path / "engine", "--to", "steps")
    assert code == 0, err
    mask = np.asarray(whole_steps_of(front.points[-1].schedule))
    (written,) = (tmp_path / "engine").iterdir()
    assert [int(step) for step in written.read_text().split()] == np.flatnonzero(mask).tolist()
    with pytest.raises(OptionError, match="deploy is 'steps', but 'whole-steps' is expected"):
        quick(str(tiny_pixart_folder), ["a"], deploy="steps", **call)  # type: ignore[arg-type]
