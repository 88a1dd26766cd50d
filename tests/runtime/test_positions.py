"""Rotary embeddings are made once in a run, and anew wherever they could be others."""

from __future__ import annotations

from unittest import mock

import pytest
import torch

from ecad_automl.runtime import apply_schedule
from ecad_automl.runtime.positions import Positions
from ecad_automl.schedules.schedule import Schedule
from tests.runtime.cases import CASES

NAMES = {"flux": "pos_embed", "chroma-unguided": "pos_embed", "wan-guided": "rope", "cogview4-guided": "rope"}


@pytest.mark.parametrize("name", NAMES)
def test_they_are_made_once_in_a_run_and_images_stay_the_same(name: str) -> None:
    case = CASES[name]()
    module = getattr(case.pipe.transformer, NAMES[name])
    expected, schedule = case.generate(), Schedule.all_compute(case.layout, 4)
    with mock.patch.object(type(module), "forward", autospec=True, side_effect=type(module).forward) as made:
        with apply_schedule(case.pipe, schedule):
            assert torch.equal(case.generate(), expected)
            once = made.call_count
            assert torch.equal(case.generate(), expected)
        assert made.call_count == 2 * once  # another run may have other positions
    assert once <= case.calls_per_step


def test_they_are_made_anew_where_what_they_come_from_was_written_to() -> None:
    positions = Positions([("ids",)])
    ids, other = torch.zeros(3, 2), torch.ones(3, 2)

    def made(source: torch.Tensor) -> torch.Tensor:
        positions.begin({"ids": source})
        with torch.no_grad():
            found: torch.Tensor = positions.visit(0, torch.clone, (source.clone(),), {})
        return found

    first = made(ids)
    assert made(ids) is first
    assert torch.equal(made(other), other)
    assert made(ids) is first
    ids += 5
    assert torch.equal(made(ids), ids)
    positions.drop()
    assert made(other) is not other
