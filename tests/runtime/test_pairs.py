"""Pipelines of two transformers that take the steps in turns, as Wan 2.2."""

from __future__ import annotations

import copy
from collections import Counter

import numpy as np
import pytest
import torch
from diffusers import WanPipeline
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ecad_automl.errors import ScheduleError, UnsupportedModelError
from ecad_automl.runtime import apply_pair, apply_schedule, layout_of_call, pair_of
from ecad_automl.schedules.schedule import Schedule
from tests.runtime.cases import CASES, Case

STEPS = 6


@pytest.fixture(scope="module")
def pair() -> Case:
    made = CASES["wan-guided"]()
    second = copy.deepcopy(made.pipe.transformer)
    made.pipe = WanPipeline(**{**made.pipe.components, "transformer_2": second}, boundary_ratio=0.8)
    made.pipe.set_progress_bar_config(disable=True)
    return made


@pytest.fixture(scope="module")
def first(pair: Case) -> int:
    """How many of the steps are of the first transformer, counted as the pipeline calls it."""
    calls: Counter[str] = Counter()
    hook = pair.pipe.transformer.register_forward_pre_hook(lambda *_: calls.update(["first"]))
    pair.generate(steps=STEPS)
    hook.remove()
    assert 0 < calls["first"] < 2 * STEPS
    return calls["first"] // 2  # guidance branches


@pytest.fixture(scope="module")
def whole(pair: Case, first: int) -> Schedule:
    """Of all steps, with nothing reused from one transformer's in the other's."""
    layouts = [layout_of_call(member, **pair.arguments(1)) for member in pair_of(pair.pipe)]
    assert layouts[0] == layouts[1]
    bits = np.random.default_rng(0).random((STEPS, len(layouts[0]))) < 0.4
    bits[first] = True
    return Schedule(layouts[0], bits)


@pytest.fixture(scope="module")
def parts(whole: Schedule, first: int) -> tuple[Schedule, Schedule]:
    return Schedule(whole.layout, whole.compute[:first]), Schedule(whole.layout, whole.compute[first:])


def test_two_equal_transformers_do_under_two_schedules_what_one_does_under_one(
    pair: Case, whole: Schedule, parts: tuple[Schedule, Schedule]
) -> None:
    single = CASES["wan-guided"]()
    with apply_schedule(single.pipe, whole, fuse=False):  # a first step is never fused, and the second one has its own
        expected = single.generate(steps=STEPS)
    uncached = pair.generate(steps=STEPS)
    assert not torch.equal(expected, uncached)
    with apply_pair(pair.pipe, *parts, fuse=False):
        assert torch.equal(pair.generate(steps=STEPS), expected)
        assert torch.equal(pair.generate(steps=STEPS), expected)  # nothing of a run is left for the next
    with apply_pair(pair.pipe, parts[0], None, fuse=False):
        half = pair.generate(steps=STEPS)
    assert not torch.equal(half, expected) and not torch.equal(half, uncached)
    assert torch.equal(pair.generate(steps=STEPS), uncached)


def test_macs_are_those_that_are_counted(pair: Case, parts: tuple[Schedule, Schedule]) -> None:
    with (
        apply_pair(pair.pipe, *parts, keep_text=False, fuse=False),
        sdpa_kernel(SDPBackend.MATH),
        FlopCounterMode(display=False) as counter,
    ):
        pair.generate(steps=STEPS)
    assert sum(part.macs for part in parts) == counter.get_total_flops() // 2


def test_a_run_of_other_steps_says_how_many_are_of_which(pair: Case, parts: tuple[Schedule, Schedule]) -> None:
    told = rf"has {parts[1].steps} steps, but of the 12 of this run \d+ are of its transformer"
    with apply_pair(pair.pipe, None, parts[1]), pytest.raises(ScheduleError, match=told):
        pair.generate(steps=12)


def test_one_schedule_for_two_transformers_is_refused_and_two_for_one(
    pair: Case, parts: tuple[Schedule, Schedule]
) -> None:
    with pytest.raises(UnsupportedModelError, match=r"give one for each: apply_pair\(pipe, first, second\)"):
        apply_schedule(pair.pipe, parts[0])
    with (
        pytest.raises(UnsupportedModelError, match="has not two transformers"),
        apply_pair(CASES["wan-guided"]().pipe, *parts),
    ):
        pass
