"""Of the layers that make shifts, scales and gates, the rows that nothing reads are not computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from torch import nn
from torch.testing import assert_close

from ecad_automl.runtime import apply_schedule
from ecad_automl.schedules.schedule import Schedule
from tests.runtime.cases import CASES
from tests.runtime.test_layouts import macs_of_a_run

if TYPE_CHECKING:
    from tests.runtime.conftest import Case, Reference


def computed_first(case: Case, steps: int = 3) -> Schedule:
    compute = np.zeros((steps, len(case.layout)), dtype=np.bool_)
    compute[0] = True
    return Schedule(case.layout, compute)


def test_a_reused_step_of_flux_makes_gates_alone() -> None:
    case = CASES["flux"]()
    config = case.pipe.transformer.config
    width = config.num_attention_heads * config.attention_head_dim
    # Two streams of a double block have six modulations each, of which two are gates, and a single block has three.
    left_out = width**2 * (config.num_layers * 2 * 4 + config.num_single_layers * 2)
    schedule = computed_first(case)
    assert schedule.macs - schedule.run_macs == 2 * (left_out + case.layout.text_macs)
    with apply_schedule(case.pipe, schedule):
        assert macs_of_a_run(case, steps=3) == schedule.run_macs


def test_pixart_has_no_such_layers() -> None:
    assert CASES["pixart-guided"]().layout.modulations == ()


@pytest.mark.parametrize("name", ["flux", "sd3-guided", "zimage-guided"])
def test_a_layer_of_another_class_is_computed_whole(name: str, reference: Reference) -> None:
    class Quantised(nn.Linear):
        pass

    case = CASES[name]()
    schedule = case.random_schedule(1)
    expected = reference(case, schedule, case.generate)
    with apply_schedule(case.pipe, schedule):
        case.generate()
        less = macs_of_a_run(case)
    for module in case.pipe.transformer.modules():
        if type(module) is nn.Linear:
            module.__class__ = Quantised
    with apply_schedule(case.pipe, schedule):
        images = case.generate()
        assert macs_of_a_run(case) > less
    assert_close(images, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
