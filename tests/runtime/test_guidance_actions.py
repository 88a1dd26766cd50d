"""Schedules that leave out a guidance branch: against the definition, which the reference replays."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np
import pytest
import torch
from torch._dynamo.utils import counters
from torch.testing import assert_close

from ecad_automl.errors import CacheStateError, ScheduleError, UnsupportedModelError
from ecad_automl.runtime import Prefixes, apply_schedule
from ecad_automl.runtime.cache import OutputCache
from ecad_automl.schedules.guidance import BOTH, KEEP, NONE
from ecad_automl.schedules.schedule import Schedule
from tests.runtime.cases import CASES
from tests.runtime.test_layouts import macs_of_a_run

if TYPE_CHECKING:
    from tests.runtime.conftest import Case, Note, Reference

STEPS = 7

ONE_BRANCH = "none: guidance of these pipelines is distilled, or they were called without"


def exchange_texts(case: Case) -> None:
    """Have the prompts be the longer texts, where a batch is padded to the longest."""
    if case.one_batch is not None and case.one_batch.lists:
        inputs = case.inputs

        def exchanged(images: int) -> dict[str, Any]:
            given = inputs(images)
            names = ("prompt_embeds", "negative_prompt_embeds")
            return {**given, **dict(zip(names, (given[name] for name in reversed(names)), strict=True))}

        case.inputs = exchanged
        case.layout = case.counted()  # that of the other texts


@pytest.mark.conformance("guidance")
def test_leaving_out_branches_does_what_the_definition_says(case: Case, reference: Reference, note: Note) -> None:
    if case.branches < 2:
        note(ONE_BRANCH)
        return
    exchange_texts(case)
    schedule = case.random_guidance(1)
    assert schedule.guidance.levels.any()
    expected = reference(case, schedule, lambda: case.generate(steps=STEPS, images=2))
    with apply_schedule(case.pipe, schedule, fuse=False) as handle:
        assert torch.equal(case.generate(steps=STEPS, images=2), expected)
        assert handle.cache_bytes() == 0
    with apply_schedule(case.pipe, schedule):
        assert_close(case.generate(steps=STEPS, images=2), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.conformance("guidance")
def test_macs_are_those_that_are_predicted(case: Case, note: Note) -> None:
    if case.branches < 2:
        note(ONE_BRANCH)
        return
    exchange_texts(case)
    schedule = case.random_guidance(1, steps=5)
    with apply_schedule(case.pipe, schedule, keep_text=False, fuse=False):
        case.generate(steps=5)  # blocks are recorded
        assert macs_of_a_run(case, steps=5) == schedule.macs
    with apply_schedule(case.pipe, schedule):
        case.generate(steps=5)
        assert macs_of_a_run(case, steps=5) == schedule.run_macs


#: Both branches in one batch, and each in a call of its own.
TWO_BRANCHES = ["pixart-guided", "flux-true-cfg"]


@pytest.mark.parametrize("name", TWO_BRANCHES)
def test_blocks_are_traced_once_for_each_combination(name: str) -> None:
    case = CASES[name]()
    # Whole steps, so that there are few combinations; one branch alone is the first in which half a batch is computed.
    whole = np.repeat(np.isin(np.arange(STEPS), [0, 1, 2, 5])[:, None], len(case.layout), axis=1)
    schedule = Schedule(case.layout, whole, guidance=[BOTH, BOTH, NONE, KEEP, BOTH, KEEP, BOTH])
    with apply_schedule(case.pipe, schedule):
        expected = case.generate(steps=STEPS)
    torch._dynamo.reset()
    counters.clear()
    with apply_schedule(case.pipe, schedule, compile={"backend": "eager"}) as handle:
        images = case.generate(steps=STEPS)
        graphs = counters["stats"]["unique_graphs"]
        assert torch.equal(case.generate(steps=STEPS), images)
        functions = len(handle._functions)
    assert_close(images, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    assert counters["graph_break"] == {}
    assert counters["stats"]["unique_graphs"] == graphs
    # The first block of each kind is given what the model makes, which may be a view of a larger tensor, and in other
    # steps what was kept, which is none: torch traces its functions once more.
    assert functions <= graphs <= 2 * functions
    torch._dynamo.reset()


@pytest.mark.parametrize("name", TWO_BRANCHES)
def test_runs_that_begin_alike_share_until_a_branch_is_left_out(name: str) -> None:
    case = CASES[name]()
    first = case.random_guidance(0)
    actions = [BOTH, BOTH, BOTH, KEEP, BOTH, NONE, BOTH]
    schedules = [
        first,
        Schedule(case.layout, first.compute, None, guidance=actions),
        case.random_guidance(2),
        case.random_schedule(1, steps=STEPS),
        Schedule(case.layout, first.compute, None, guidance=[BOTH, BOTH, BOTH, BOTH, KEEP, BOTH, NONE]),
        case.random_guidance(1),
    ]
    expected = []
    for schedule in schedules:
        with apply_schedule(case.pipe, schedule):
            expected.append(case.generate(steps=STEPS))
    prefixes = Prefixes(2**30)
    handle = apply_schedule(case.pipe, first, prefixes=prefixes)
    for schedule, latents in zip(schedules * 2, expected * 2, strict=True):
        with handle.switch(schedule):
            assert torch.equal(case.generate(steps=STEPS), latents)
    assert prefixes.report().shared >= 5 * case.calls_per_step


@pytest.mark.parametrize("name", TWO_BRANCHES)
def test_what_is_kept_may_be_coarser_or_elsewhere_or_broken_off(name: str, reference: Reference) -> None:
    case = CASES[name]()
    schedule = case.random_guidance(0)
    expected = reference(case, schedule, lambda: case.generate(steps=STEPS))
    with apply_schedule(case.pipe, schedule, fuse=False, cache_device="cpu") as handle:
        assert torch.equal(case.generate(steps=STEPS), expected)
        calls = iter(range(100))
        hook = case.pipe.transformer.register_forward_pre_hook(lambda *_: 1 / (6 - next(calls)) and None)
        with hook, pytest.raises(ZeroDivisionError):
            case.generate(steps=STEPS)
        assert torch.equal(case.generate(steps=STEPS), expected)
        assert handle.cache_bytes() == 0
    coarse = apply_schedule(case.pipe, schedule, cache_dtype=torch.bfloat16)
    with coarse:
        assert_close(case.generate(steps=STEPS), expected, rtol=0.1, atol=0.1 * float(expected.abs().max()))


def test_half_precision_keeps_differences_in_single() -> None:
    case = CASES["pixart-guided"]()
    case.pipe.to(dtype=torch.bfloat16)
    schedule = Schedule.all_compute(case.layout, 4)
    guided = Schedule(case.layout, schedule.compute, guidance=[BOTH, KEEP, BOTH, KEEP])
    kinds: set[torch.dtype] = set()
    store = OutputCache.store

    def stored(self: OutputCache, key: Any, tensors: Any, *args: Any, **kwargs: Any) -> None:
        if key[0] == len(case.layout) + 1:
            kinds.update(tensor.dtype for tensor in tensors)
        store(self, key, tensors, *args, **kwargs)

    with mock.patch.object(OutputCache, "store", stored), apply_schedule(case.pipe, guided):
        assert case.generate().dtype == torch.bfloat16
    assert kinds == {torch.float32}


@pytest.mark.parametrize("name", ["pixart-unguided", "sd3-unguided", "flux", "qwen-image-unguided"])
def test_a_run_without_a_second_branch_is_refused(name: str) -> None:
    case = CASES[name]()
    schedule = Schedule(case.layout, Schedule.all_compute(case.layout, 4).compute, guidance=[BOTH, KEEP, BOTH, NONE])
    with apply_schedule(case.pipe, schedule):
        for images in (1, 2):
            with pytest.raises(ScheduleError, match="in which steps there is guidance, but this run has none"):
                case.generate(images=images)


def test_perturbed_attention_is_refused_by_name() -> None:
    case = CASES["pixart-guided"]()
    case.pipe.set_pag_applied_layers = lambda layers: None
    with pytest.raises(UnsupportedModelError, match="PixArtAlphaPipeline perturbs the attention"):
        apply_schedule(case.pipe, case.random_guidance(0))
    with apply_schedule(case.pipe, case.random_schedule(0)):
        case.generate()


def test_skip_layer_guidance_is_refused() -> None:
    case = CASES["sd3-guided"]()
    schedule = Schedule(case.layout, Schedule.all_compute(case.layout, 6).compute, guidance=[0, 0, KEEP, 0, 0, 0])
    with apply_schedule(case.pipe, schedule), pytest.raises((CacheStateError, ScheduleError)):
        case.generate(steps=6, skip_guidance_layers=[1], skip_layer_guidance_stop=0.5, skip_layer_guidance_start=0.01)


def test_a_negative_prompt_that_pads_a_batch_is_refused() -> None:
    case = CASES["zimage-guided"]()
    with (
        apply_schedule(case.pipe, case.random_guidance(0)),
        pytest.raises(ScheduleError, match="negative prompt is longer than the prompt"),
    ):
        case.generate(steps=STEPS)


def test_the_branch_without_the_prompt_cannot_come_first() -> None:
    case = CASES["flux-true-cfg"]()
    pipe = case.pipe
    names = itertools.cycle(["uncond", "cond"])
    cache_context = pipe.transformer.cache_context
    with (
        apply_schedule(pipe, Schedule(case.layout, Schedule.all_compute(case.layout, 3).compute, guidance=[5, 0, 1])),
        mock.patch.object(pipe.transformer, "cache_context", side_effect=lambda _name: cache_context(next(names))),
        pytest.raises(CacheStateError, match="without the prompt is called first at step 0"),
    ):
        case.generate(steps=3)


@pytest.mark.parametrize("name", ["hunyuandit-guided", "ltx-guided"])
def test_rescaled_guidance_is_that_of_the_two_outputs(name: str, reference: Reference) -> None:
    """It is a function of both outputs as any other."""
    case = CASES[name]()
    schedule = case.random_guidance(0)
    expected = reference(case, schedule, lambda: case.generate(steps=STEPS, guidance_rescale=0.7))
    with apply_schedule(case.pipe, schedule, fuse=False):
        assert torch.equal(case.generate(steps=STEPS, guidance_rescale=0.7), expected)
        assert not torch.equal(case.generate(steps=STEPS), expected)
