"""Schedulers that call the transformer more often than ``num_inference_steps``: a schedule has a step for each call."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import diffusers.schedulers
import pytest
import torch
from diffusers import FlowMatchHeunDiscreteScheduler, SchedulerMixin

from ecad_automl.runtime import apply_schedule
from ecad_automl.schedules.schedule import Schedule
from tests.runtime.cases.second_order import second_order

if TYPE_CHECKING:
    from tests.runtime.conftest import Case, Note, Reference


@pytest.mark.conformance("second order")
def test_second_order_schedulers_are_followed_forward_by_forward(case: Case, reference: Reference, note: Note) -> None:
    found = second_order(case.pipe)
    if found.why_not is not None:
        case.pipe.scheduler = FlowMatchHeunDiscreteScheduler()
        with pytest.raises((TypeError, ValueError), match=found.refusal):
            case.generate(steps=2)
        if found.scheduler is None:
            note(f"none: {found.why_not}")
            return
        note(f"with a scheduler made for the test: {found.why_not}")
    case.pipe.scheduler = found.scheduler
    before = case.generate(steps=2)
    forwards = len(found.scheduler.timesteps)
    assert forwards == 3
    with apply_schedule(case.pipe, Schedule.all_compute(case.layout, forwards)):
        assert torch.equal(case.generate(steps=2), before)
    schedule = case.random_schedule(1, steps=forwards)
    expected = reference(case, schedule, lambda: case.generate(steps=2))
    assert not torch.equal(expected, before)
    with apply_schedule(case.pipe, schedule, fuse=False):
        assert torch.equal(case.generate(steps=2), expected)


def test_no_second_order_scheduler_of_diffusers_takes_sigmas() -> None:
    kinds = [getattr(diffusers.schedulers, name) for name in dir(diffusers.schedulers) if name.endswith("Scheduler")]
    kinds = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, SchedulerMixin)]
    kinds = [kind for kind in kinds if getattr(kind, "order", 1) == 2]
    assert FlowMatchHeunDiscreteScheduler in kinds
    for kind in kinds:
        assert "sigmas" not in inspect.signature(kind.set_timesteps).parameters, kind
