"""Pipelines of two transformers that take the steps in turns, as Wan 2.2: one schedule for the steps of both."""

from __future__ import annotations

import copy
from collections import Counter
from functools import partial

import numpy as np
import pytest
import torch
from diffusers import WanPipeline
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ecad_automl.errors import ScheduleError, UnsupportedModelError
from ecad_automl.runtime import Prefixes, apply_schedule, measure_drift
from ecad_automl.schedules.schedule import Schedule
from tests.runtime.cases import CASES, Case
from tests.runtime.conftest import Reference

STEPS = 7


def _pair(*, equal: bool) -> Case:
    made = CASES["wan-guided"]()
    second = copy.deepcopy(made.pipe.transformer)
    if not equal:
        torch.manual_seed(2)
        for parameter in second.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
    made.pipe = WanPipeline(**{**made.pipe.components, "transformer_2": second}, boundary_ratio=0.8)
    made.pipe.set_progress_bar_config(disable=True)
    return made


@pytest.fixture
def pair() -> Case:
    return _pair(equal=False)


def _calls(case: Case) -> Counter[str]:
    """How often each transformer is called in a run."""
    calls: Counter[str] = Counter()
    hooks = [
        getattr(case.pipe, name).register_forward_pre_hook(lambda *_, name=name: calls.update([name]))
        for name in ("transformer", "transformer_2")
    ]
    case.generate(steps=STEPS)
    for hook in hooks:
        hook.remove()
    return calls


def test_the_steps_are_of_both(pair: Case) -> None:
    calls = _calls(pair)
    assert min(calls["transformer"], calls["transformer_2"]) >= 2 * 3  # guidance branches
    assert sum(calls.values()) == 2 * STEPS


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["random_schedule", "random_forecasts", "random_guidance"])
def test_a_run_is_what_the_definition_says(kind: str, seed: int, pair: Case, reference: Reference) -> None:
    schedule = getattr(pair, kind)(seed, steps=STEPS)
    expected = reference(pair, schedule, partial(pair.generate, steps=STEPS))
    uncached = pair.generate(steps=STEPS)
    assert not torch.equal(expected, uncached)
    with apply_schedule(pair.pipe, schedule, fuse=False):
        for _ in range(2):  # nothing of a run is left for the next
            assert torch.equal(pair.generate(steps=STEPS), expected)
    with apply_schedule(pair.pipe, schedule):
        first = pair.generate(steps=STEPS)
        torch.testing.assert_close(first, expected, rtol=1e-3, atol=1e-4)
        for _ in range(3):  # until steps of reused blocks are functions
            assert torch.equal(pair.generate(steps=STEPS), first)
    assert torch.equal(pair.generate(steps=STEPS), uncached)


def test_what_computes_everything_changes_no_bit(pair: Case) -> None:
    uncached = pair.generate(steps=STEPS)
    with apply_schedule(pair.pipe, Schedule.all_compute(pair.layout, STEPS)):
        assert torch.equal(pair.generate(steps=STEPS), uncached)


def test_two_equal_transformers_do_what_one_does() -> None:
    single, pair = CASES["wan-guided"](), _pair(equal=True)
    schedule = pair.random_guidance(1, steps=STEPS)
    with apply_schedule(single.pipe, schedule, fuse=False), apply_schedule(pair.pipe, schedule, fuse=False):
        assert torch.equal(pair.generate(steps=STEPS), single.generate(steps=STEPS))


@pytest.mark.parametrize("seed", range(2))
def test_macs_are_those_that_are_counted(seed: int, pair: Case) -> None:
    schedule = pair.random_guidance(seed, steps=STEPS)
    with apply_schedule(pair.pipe, schedule, keep_text=False, fuse=False), sdpa_kernel(SDPBackend.MATH):
        for _ in range(2):
            with FlopCounterMode(display=False) as counter:
                pair.generate(steps=STEPS)
            assert schedule.macs == counter.get_total_flops() // 2


def test_runs_that_begin_alike_share_steps_of_both(pair: Case) -> None:
    plain = pair.random_schedule(0, STEPS)
    other = plain.compute.copy()
    other[-1] = ~other[-1]
    prefixes = Prefixes(2**30)
    handle = apply_schedule(pair.pipe, plain, prefixes=prefixes)
    handle.remove()
    for schedule in (plain, Schedule(pair.layout, other)):
        with apply_schedule(pair.pipe, schedule):
            expected = pair.generate(steps=STEPS)
        with handle.switch(schedule):
            assert torch.equal(pair.generate(steps=STEPS), expected)
    assert prefixes.report().shared == 2 * (STEPS - 1)
    with torch.no_grad():
        pair.pipe.transformer_2.proj_out.bias += 1.0
    with handle.switch(plain):
        pair.generate(steps=STEPS)
    assert prefixes.report().shared == 2 * (STEPS - 1)  # of another model


def test_drift_is_over_the_steps_of_both(pair: Case) -> None:
    single, equal = CASES["wan-guided"](), _pair(equal=True)
    found = [measure_drift(each.pipe, partial(each.generate, steps=STEPS), steps=STEPS) for each in (single, equal)]
    assert found[0].to_bytes() == found[1].to_bytes()
    other = measure_drift(pair.pipe, partial(pair.generate, steps=STEPS), steps=STEPS)
    first = _calls(pair)["transformer"] // 2
    np.testing.assert_array_equal(other.distance[:, :first, :first], found[0].distance[:, :first, :first])
    assert (other.distance[:, first - 1, first] > found[0].distance[:, first - 1, first]).all()


def test_nothing_is_left_on_either(pair: Case) -> None:
    parts = [*pair.pipe.transformer.modules(), *pair.pipe.transformer_2.modules()]
    before = [(set(vars(part)), len(part._forward_hooks), len(part._forward_pre_hooks)) for part in parts]
    with apply_schedule(pair.pipe, pair.random_schedule(0, STEPS)):
        pair.generate(steps=STEPS)
    assert [(set(vars(part)), len(part._forward_hooks), len(part._forward_pre_hooks)) for part in parts] == before


def test_a_run_of_other_steps_is_refused(pair: Case) -> None:
    with (
        apply_schedule(pair.pipe, pair.random_schedule(0, STEPS)),
        pytest.raises(ScheduleError, match=f"has {STEPS} steps, but"),
    ):
        pair.generate(steps=STEPS + 1)


def test_two_of_another_form_each_are_refused(pair: Case) -> None:
    config = {**pair.pipe.transformer.config, "num_layers": 1}
    pair.pipe.transformer_2 = type(pair.pipe.transformer).from_config(config)
    with pytest.raises(UnsupportedModelError, match="two transformers, of the num_layers 2 and 1"):
        apply_schedule(pair.pipe, pair.random_schedule(0))


def test_the_second_alone_is_refused_and_runs_in_place_of_the_first(pair: Case) -> None:
    schedule = pair.random_schedule(0, STEPS)
    second = pair.pipe.transformer_2
    parts = {**pair.pipe.components, "transformer": None}
    pair.pipe = WanPipeline(**parts, boundary_ratio=1.0)
    with pytest.raises(UnsupportedModelError, match="its second transformer alone"):
        apply_schedule(pair.pipe, schedule)
    pair.pipe.set_progress_bar_config(disable=True)
    full = Schedule.all_compute(schedule.layout, STEPS)
    expected = pair.generate(steps=STEPS)
    pair.pipe = WanPipeline(**{**parts, "transformer": second, "transformer_2": None})
    pair.pipe.set_progress_bar_config(disable=True)
    with apply_schedule(pair.pipe, full):
        assert torch.equal(pair.generate(steps=STEPS), expected)
