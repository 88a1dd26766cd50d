"""The number of steps to ask a pipeline for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    HeunDiscreteScheduler,
    PNDMScheduler,
    SCMScheduler,
)

from ecad_automl.errors import ScheduleError
from ecad_automl.runtime import apply_schedule
from ecad_automl.runtime.step_counts import forwards_of, steps_to_ask_for
from ecad_automl.schedules.schedule_file import ScheduleMetadata, save_schedule
from tests.runtime.cases.second_order import second_order

if TYPE_CHECKING:
    from tests.runtime.conftest import Case


@pytest.mark.parametrize(
    ("kind", "settings", "asked"),
    [
        (DDIMScheduler, {}, 7),
        (FlowMatchEulerDiscreteScheduler, {"use_dynamic_shifting": True}, 7),
        (SCMScheduler, {}, 7),
        (PNDMScheduler, {"skip_prk_steps": True}, 6),
        (HeunDiscreteScheduler, {}, 4),
        (FlowMatchHeunDiscreteScheduler, {}, 4),
    ],
)
def test_seven_forwards(kind: type, settings: dict[str, Any], asked: int) -> None:
    assert steps_to_ask_for(kind(**settings), 7) == asked


def test_a_number_that_no_run_has_is_refused_with_the_nearest() -> None:
    with pytest.raises(ScheduleError, match=r"HeunDiscreteScheduler makes no run of 6 steps.*nearest are of 5 and 7"):
        steps_to_ask_for(HeunDiscreteScheduler(), 6)


@pytest.mark.every_family
def test_arguments_make_a_run_of_the_schedules_length(case: Case) -> None:
    schedule = case.random_schedule(0, steps=3)
    with apply_schedule(case.pipe, schedule) as run:
        expected = case.generate(steps=3)
        generator = torch.Generator().manual_seed(0)
        output = case.pipe(**{**case.arguments(1), **run.arguments, "generator": generator})
    assert torch.equal(next(iter(output.values())), expected)


def test_second_order_schedulers_are_asked_for_fewer(pixart: Case) -> None:
    pixart.pipe.scheduler = second_order(pixart.pipe).scheduler
    with apply_schedule(pixart.pipe, pixart.random_schedule(0, steps=5)) as run:
        assert run.arguments == {"num_inference_steps": 3}
        pixart.generate(steps=3)
        assert forwards_of(pixart.pipe.scheduler) == 5
        with pytest.raises(ScheduleError, match="has 5 steps, but .* is set to 9: .* num_inference_steps=3,"):
            pixart.generate(steps=5)


def test_sigmas_of_the_file_are_arguments_too(flux: Case, tmp_path: Path) -> None:
    schedule = flux.random_schedule(0, steps=3)
    sigmas = [1.0, 0.7, 0.2]
    for count in (3, 2):
        save_schedule(tmp_path / "plan.json", schedule, ScheduleMetadata(call={"sigmas": sigmas[:count]}))
        with apply_schedule(flux.pipe, tmp_path / "plan.json") as run:
            told = {"sigmas": sigmas} if count == 3 else {}
            assert run.arguments == {"num_inference_steps": 3, **told}
