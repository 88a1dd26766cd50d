"""Coefficients that are fitted under a schedule, and runs by them, on real pipelines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    UniPCMultistepScheduler,
)

from ecad_automl.errors import CacheStateError, EvaluationError
from ecad_automl.runtime import apply_schedule, fit_schedule, uncached_path
from ecad_automl.runtime.fitted import Proceed, visited_steps
from ecad_automl.schedules.fitted import as_it_is
from ecad_automl.schedules.schedule import Schedule
from tests.runtime.cases import Case
from tests.runtime.test_forecasts import skipping

STEPS = 6


def fit(case: Case, schedule: Schedule, asked: int | None = None) -> tuple[Schedule, list[torch.Tensor]]:
    """The schedule with coefficients, and the path that they are fitted to."""

    def run() -> None:
        case.generate(steps=asked or schedule.steps)

    path = uncached_path(case.pipe, run, schedule.steps)
    with apply_schedule(case.pipe, schedule):
        return fit_schedule(case.pipe, schedule, run, path), path


def path_under(case: Case, schedule: Schedule, asked: int | None = None) -> list[torch.Tensor]:
    """The latents after each step of a run under a schedule."""
    path: list[torch.Tensor] = []

    def keep(given: Mapping[str, Any], proceed: Proceed) -> None:
        path.append(proceed(given["model_output"]).clone())

    # Beneath what the handle does to the scheduler.
    with visited_steps(case.pipe.scheduler, keep), apply_schedule(case.pipe, schedule):
        case.generate(steps=asked or schedule.steps)
    return path


def distance(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).double().square().mean())


def test_no_other_coefficients_lead_nearer_to_the_uncached_run(case: Case) -> None:
    """Of each step in turn, by runs with each coefficient moved to either side; the ridge moves them a little."""
    schedule, path = fit(case, skipping(case, [2, 3], steps=5))
    assert schedule.fitted is not None
    np.testing.assert_array_equal(schedule.fitted[:2], as_it_is(2))  # the runs are still the same
    for step, terms in ((2, (1, 2)), (4, (0, 1))):
        nearest = distance(path_under(case, schedule)[step], path[step])
        for term in terms:
            for by in (-0.2, 0.2):
                moved = schedule.fitted.copy()
                moved[step, term] += by
                assert distance(path_under(case, schedule.with_fitted(moved))[step], path[step]) > nearest * (1 - 1e-3)


@pytest.mark.parametrize(
    ("scheduler", "steps"),
    [(EulerDiscreteScheduler, 7), (UniPCMultistepScheduler, 7), (HeunDiscreteScheduler, 4), (DDPMScheduler, 7)],
)
def test_a_run_under_the_schedule_goes_as_in_the_fit(pixart: Case, scheduler: Any, steps: int) -> None:
    """With samplers of first and second order, of one and of two transformer calls a step, and one that draws noise."""
    pixart.pipe.scheduler = scheduler.from_config(pixart.pipe.scheduler.config)
    plain = skipping(pixart, [2, 3, 5], steps=7)
    path = uncached_path(pixart.pipe, lambda: pixart.generate(steps=steps), 7)
    seen: list[torch.Tensor] = []
    with apply_schedule(pixart.pipe, plain):
        schedule = fit_schedule(pixart.pipe, plain, lambda: seen.append(pixart.generate(steps=steps)), path)
    assert schedule.fitted is not None and (schedule.fitted[2:, 0] != 1).all()
    with apply_schedule(pixart.pipe, schedule):
        assert torch.equal(pixart.generate(steps=steps), seen[0])


def test_latents_end_nearer_to_those_of_the_uncached_run(case: Case) -> None:
    plain = skipping(case, [1, 3, 4], steps=STEPS)
    schedule, path = fit(case, plain)
    assert distance(path_under(case, schedule)[-1], path[-1]) < distance(path_under(case, plain)[-1], path[-1])


def test_nothing_is_left_on_the_pipeline_and_other_runs_are_as_before(case: Case) -> None:
    before = case.generate(steps=STEPS)
    schedule, _ = fit(case, skipping(case, [2], steps=STEPS))
    with apply_schedule(case.pipe, schedule) as handle:
        under = case.generate(steps=STEPS)
        handle.switch(schedule.with_fitted(None))
        assert "step" not in vars(case.pipe.scheduler)
        without = case.generate(steps=STEPS)
        handle.switch(schedule)
        assert torch.equal(case.generate(steps=STEPS), under)
    assert not torch.equal(under, without)
    assert "step" not in vars(case.pipe.scheduler)
    assert torch.equal(case.generate(steps=STEPS), before)


def test_coefficients_of_a_run_as_it_is_change_no_bit(case: Case) -> None:
    everything = Schedule.all_compute(case.layout, STEPS)
    uncached = case.generate(steps=STEPS)
    with apply_schedule(case.pipe, everything.with_fitted(as_it_is(STEPS))):
        assert torch.equal(case.generate(steps=STEPS), uncached)


def test_each_term_counts_by_its_coefficient(pixart: Case) -> None:
    """Against outputs and latents that the test itself sees the scheduler be given."""
    table = as_it_is(4)
    table[1:] = 0
    table[1, [1, -2, -1]] = 0.5, 0.125, 0.25
    table[2, [0, 1, -1]] = 0.75, -0.25, 0.5
    table[3, [1, 2, -2, -1]] = 1.5, -0.5, -0.125, 0.0625
    given: list[tuple[torch.Tensor, torch.Tensor]] = []

    def keep(arguments: Mapping[str, Any], proceed: Proceed) -> None:
        given.append((arguments["model_output"].clone(), arguments["sample"].clone()))
        proceed(arguments["model_output"])

    schedule = skipping(pixart, [1, 3])
    with visited_steps(pixart.pipe.scheduler, keep), apply_schedule(pixart.pipe, schedule.with_fitted(table)):
        pixart.generate(steps=4)
    (y0, x0), (g1, x1), (g2, x2), (g3, x3) = given
    torch.testing.assert_close(g1, 0.5 * y0 + 0.125 * x1 + 0.25 * x0)
    y2 = (g2 + 0.25 * y0 - 0.5 * x0) / 0.75
    torch.testing.assert_close(g3, 1.5 * y2 - 0.5 * y0 - 0.125 * x3 + 0.0625 * x2)


def test_noise_that_a_scheduler_draws_is_the_same_with_the_fit(pixart: Case) -> None:
    pixart.pipe.scheduler = EulerAncestralDiscreteScheduler.from_config(pixart.pipe.scheduler.config)
    everything = Schedule.all_compute(pixart.layout, STEPS)
    schedule, path = fit(pixart, everything)
    assert distance(path_under(pixart, schedule)[-1], path[-1]) < 1e-6


def test_a_pipeline_that_steps_another_scheduler_is_told_so(pixart: Case) -> None:
    pixart.pipe.scheduler = DDIMScheduler.from_config(pixart.pipe.scheduler.config)  # which has no step of its own
    schedule, _ = fit(pixart, skipping(pixart, [2], steps=STEPS))
    with apply_schedule(pixart.pipe, schedule):
        pixart.pipe.scheduler.step = lambda _output, _timestep, sample, **_: (sample,)
        with pytest.raises(CacheStateError, match=r"step pipe\.scheduler.*with_fitted\(None\)"):
            pixart.generate(steps=STEPS)


def test_a_pipeline_that_steps_more_or_less_often_is_refused(pixart: Case) -> None:
    with pytest.raises(EvaluationError, match="6 steps of its DPMSolver.* in a run of 5"):
        uncached_path(pixart.pipe, lambda: pixart.generate(steps=6), 5)


def test_a_run_of_the_last_steps_alone_goes_without(pixart: Case) -> None:
    table = as_it_is(STEPS)
    table[4, :2] = 100, -99
    schedule = skipping(pixart, [2], steps=STEPS).with_fitted(table)
    with apply_schedule(pixart.pipe, schedule) as handle:
        handle._left_out_are(2)
        assert "step" not in vars(pixart.pipe.scheduler)
        handle._left_out_are(0)
