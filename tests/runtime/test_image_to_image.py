"""Runs that leave out steps, since they begin with an image, are made of the last steps of a schedule."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import diffusers
import pytest
import torch

from ecad_automl.errors import CacheStateError, UnsupportedModelError
from ecad_automl.runtime import apply_schedule
from ecad_automl.runtime.families import FAMILIES
from ecad_automl.schedules.tail import last_steps
from tests.runtime.cases import CASES
from tests.runtime.cases.image_to_image import IMAGE_TO_IMAGE

if TYPE_CHECKING:
    from tests.runtime.conftest import Note, Reference

REFUSED = {name: why for family in FAMILIES.values() for name, why in family.refused_pipelines.items()}

STRENGTH = re.compile(r"^ +(denoise_)?strength: float\b", re.MULTILINE)


@pytest.fixture(scope="session")
def sources() -> list[str]:
    """What diffusers' pipelines with a strength are written as."""
    folder = Path(diffusers.__file__).parent / "pipelines"
    texts = [path.read_text() for path in sorted(folder.rglob("pipeline_*.py"))]
    return [text for text in texts if STRENGTH.search(text)]


@pytest.mark.conformance("image to image")
@pytest.mark.parametrize("family", FAMILIES)
def test_runs_that_begin_with_an_image_take_the_last_steps(
    family: str, reference: Reference, note: Note, sources: list[str]
) -> None:
    found = IMAGE_TO_IMAGE.get(family)
    if found is None:
        assert not [text for text in sources if family in text]
        note("none: diffusers has no such pipeline")
        return
    case = found.case(0.5)
    case.layout = CASES[found.like]().layout
    schedule = case.random_schedule(1, steps=4)
    if found.pipeline in REFUSED:
        with pytest.raises(UnsupportedModelError, match=f"{found.pipeline} cannot be run .*{REFUSED[found.pipeline]}"):
            apply_schedule(case.pipe, schedule)
        note(f"refused: {found.pipeline}, {REFUSED[found.pipeline]}")
        return
    with apply_schedule(case.pipe, schedule, fuse=False):
        late = case.generate()
        case.call[found.strength] = 1.0
        whole = case.generate()
        case.call[found.strength] = 0.5
        assert torch.equal(case.generate(), late)
    note(f"{found.pipeline} with a strength of 0.5: the last 2 of 4 steps")
    assert torch.equal(late, reference(case, last_steps(schedule, 2), case.generate))
    with apply_schedule(case.pipe, last_steps(schedule, 2), fuse=False):  # one of as many steps as are run
        assert torch.equal(case.generate(), late)
    case.call[found.strength] = 1.0
    assert torch.equal(whole, reference(case, schedule, case.generate))


def test_a_run_that_begins_late_and_tells_nobody_is_an_error() -> None:
    class Silent(diffusers.WanVideoToVideoPipeline):
        _num_timesteps = property(lambda self: None, lambda self, count: None)

    case = IMAGE_TO_IMAGE["WanTransformer3DModel"].case(0.5)
    case.pipe.__class__ = Silent
    schedule = CASES["wan-guided"]().random_schedule(1, steps=4)
    with (
        apply_schedule(case.pipe, schedule),
        pytest.raises(CacheStateError, match="The run begins at step 2 of 4, as image-to-image does, and"),
    ):
        case.generate()
