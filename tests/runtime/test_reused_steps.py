"""Steps in which everything is reused are one function, and give what they give block by block, to the bit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np
import pytest
import torch
from torch import nn

from ecad_automl.runtime import apply_schedule
from ecad_automl.runtime.reused_steps import ReusedSteps
from ecad_automl.runtime.scheduled import ScheduledRun
from ecad_automl.schedules.schedule import Schedule
from tests.runtime.cases import CASES

if TYPE_CHECKING:
    from tests.runtime.conftest import Case, Reference

STEPS = 6
COMPUTED = [0, 1, 4]
AT_ONCE = mock.patch("ecad_automl.runtime.reused_steps._CALLS_BEFORE", 0)
BY_BLOCK = mock.patch.object(ReusedSteps, "_can_be_recorded", return_value=False)


def reusing(case: Case, *, forecasts: bool = False) -> Schedule:
    compute = np.repeat(np.isin(np.arange(STEPS), COMPUTED)[:, None], len(case.layout), axis=1)
    if not forecasts:
        return Schedule(case.layout, compute)
    damping = np.full((STEPS, len(case.layout.components) + 1), 3)
    return Schedule(case.layout, compute, None, damping, np.tile([1.4, -0.4], (STEPS, len(case.layout) + 1, 1)))


@pytest.mark.every_family
@pytest.mark.parametrize("forecasts", [False, True])
def test_they_give_what_they_give_block_by_block(case: Case, forecasts: bool) -> None:
    schedule = reusing(case, forecasts=forecasts)
    with BY_BLOCK, apply_schedule(case.pipe, schedule):
        expected = case.generate(steps=STEPS)
    with AT_ONCE, apply_schedule(case.pipe, schedule) as handle:
        for _ in range(2):
            assert torch.equal(case.generate(steps=STEPS), expected)
        assert handle.cache_bytes() == 0


@pytest.mark.parametrize("name", ["flux-true-cfg", "sd3-guided", "sana-guided"])
def test_no_block_is_called_in_them(name: str) -> None:
    case = CASES[name]()
    schedule = reusing(case)
    with AT_ONCE, apply_schedule(case.pipe, schedule):
        case.generate(steps=STEPS)
        with mock.patch.object(ScheduledRun, "visit", autospec=True, side_effect=ScheduledRun.visit) as visit:
            case.generate(steps=STEPS)
    assert not visit.called


def test_what_is_hooked_outside_of_blocks_between_runs_is_heard(flux: Case, reference: Reference) -> None:
    schedule = reusing(flux)
    transformer = flux.pipe.transformer
    with AT_ONCE, apply_schedule(flux.pipe, schedule) as handle:
        before = flux.generate(steps=STEPS)
        forward = transformer.norm_out.forward
        transformer.norm_out.forward = lambda *args: forward(*args) * 1.5  # a module that others are recorded in
        changed = flux.generate(steps=STEPS)
        del transformer.norm_out.forward
        assert torch.equal(flux.generate(steps=STEPS), before)
        transformer.proj_out = nn.Linear(transformer.proj_out.in_features, transformer.proj_out.out_features)
        replaced = flux.generate(steps=STEPS)
    assert not handle.whole_blocks
    with BY_BLOCK, apply_schedule(flux.pipe, schedule):
        assert torch.equal(flux.generate(steps=STEPS), replaced)
    assert not torch.equal(changed, before)
    assert not torch.equal(replaced, before)


def test_what_others_add_between_blocks_is_not_missed(flux: Case) -> None:
    """As a ControlNet does."""
    schedule = reusing(flux)
    transformer = flux.pipe.transformer
    forward = type(transformer).forward

    def controlled(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        rows, width = kwargs["hidden_states"].shape[:2], transformer.inner_dim
        residuals = [torch.full((*rows, width), 0.3), torch.full((*rows, width), -0.2)]
        return forward(self, *args, **kwargs, controlnet_single_block_samples=residuals)

    plain = flux.generate(steps=STEPS)
    with mock.patch.object(type(transformer), "forward", controlled):
        with BY_BLOCK, apply_schedule(flux.pipe, schedule):
            expected = flux.generate(steps=STEPS)
        with AT_ONCE, apply_schedule(flux.pipe, schedule):
            assert torch.equal(flux.generate(steps=STEPS), expected)
    assert not torch.equal(expected, plain)


@pytest.mark.parametrize("name", ["pixart-guided", "flux", "sd3-guided", "wan-guided"])
def test_a_first_run_has_the_bits_of_later_ones(name: str) -> None:
    case = CASES[name]()
    for schedule in (case.random_schedule(1, steps=STEPS), reusing(case)):
        with apply_schedule(case.pipe, schedule):
            first = case.generate(steps=STEPS)
            for _ in range(3):
                assert torch.equal(case.generate(steps=STEPS), first)


def test_an_activation_is_done_once_for_each_output_that_it_alone_reads() -> None:
    case = CASES["flux"]()
    names = [slot.component for slot in case.layout.slots]
    compute = np.ones((5, len(names)), dtype=np.bool_)
    compute[2:, [name == "proj_mlp" for name in names]] = False
    singles = names.count("proj_mlp")
    activations = [block.act_mlp for block in case.pipe.transformer.single_transformer_blocks]
    with apply_schedule(case.pipe, Schedule(case.layout, compute)):
        case.generate(steps=5)
        with mock.patch.object(nn.GELU, "forward", autospec=True, side_effect=nn.GELU.forward) as gelu:
            case.generate(steps=5)
    calls = sum(call.args[0] in activations for call in gelu.call_args_list)
    assert calls == 2 * singles  # in the two steps in which their inputs are computed, and not in those that follow
