"""A run that is broken off leaves nothing for the next, and threads do not disturb each other."""

from __future__ import annotations

import copy
import threading
from typing import TYPE_CHECKING, Any

import pytest
import torch
from diffusers import DDIMScheduler

from ecad_automl.errors import CacheStateError
from ecad_automl.runtime import apply_schedule

if TYPE_CHECKING:
    from tests.runtime.conftest import Case


def fail_once(module: torch.nn.Module, error: BaseException, at: int) -> None:
    """Have the ``at``-th call of a module raise."""
    calls = []

    def hook(*_: Any) -> None:
        calls.append(1)
        if len(calls) == at:
            handle.remove()
            raise error

    handle = module.register_forward_pre_hook(hook)


@pytest.mark.conformance("exception")
def test_a_call_that_raises_half_way_leaves_nothing_for_the_next(case: Case) -> None:
    check_nothing_is_left(case, RuntimeError("out of memory"), at=3)


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), KeyboardInterrupt()], ids=["error", "interrupt"])
@pytest.mark.parametrize("at", [1, 3])
def test_so_does_an_interrupt_in_any_step(case: Case, error: BaseException, at: int) -> None:
    check_nothing_is_left(case, error, at)


def check_nothing_is_left(case: Case, error: BaseException, at: int) -> None:
    schedule = case.random_schedule(3)
    last = case.pipe.transformer.get_submodule(case.layout.blocks[-1])
    with apply_schedule(case.pipe, schedule) as handle:
        expected = case.generate()
        fail_once(last, error, at)
        with pytest.raises(type(error)):
            case.generate(seed=1)
        if isinstance(error, Exception):
            assert handle.cache_bytes() == 0
        assert torch.equal(case.generate(), expected)


@pytest.mark.parametrize("ddim", [False, True])
def test_a_run_stopped_between_calls_leaves_nothing_for_the_next(pixart: Case, ddim: bool) -> None:
    if ddim:
        pixart.pipe.scheduler = DDIMScheduler()
    with apply_schedule(pixart.pipe, pixart.random_schedule(3)):
        expected = pixart.generate()

        def stop(*_: Any) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            pixart.generate(seed=1, callback=stop, callback_steps=1)
        assert torch.equal(pixart.generate(), expected)


def test_another_pipeline_is_refused_too_after_a_run_stopped_in_its_first_step(pixart: Case) -> None:
    other = type(pixart.pipe)(**{**pixart.pipe.components, "scheduler": copy.deepcopy(pixart.pipe.scheduler)})
    other.set_progress_bar_config(disable=True)
    with apply_schedule(pixart.pipe, pixart.random_schedule(3, steps=12)):
        fail_once(pixart.pipe.transformer, RuntimeError(), 1)
        with pytest.raises(RuntimeError):
            pixart.generate(steps=12)
        pixart.pipe = other
        with pytest.raises(CacheStateError, match="not another one that shares its transformer"):
            pixart.generate(steps=12)


def test_two_threads_in_the_transformer_at_once_are_refused_and_the_first_is_not_disturbed(case: Case) -> None:
    schedule = case.random_schedule(3)
    inside, go_on = threading.Event(), threading.Event()
    block = case.pipe.transformer.get_submodule(case.layout.blocks[-1])
    results: dict[str, Any] = {}
    with apply_schedule(case.pipe, schedule):
        expected = case.generate()

        def wait(*_: Any) -> None:
            inside.set()
            assert go_on.wait(60)

        handle = block.register_forward_pre_hook(wait)
        thread = threading.Thread(target=lambda: results.update(images=case.generate()))
        thread.start()
        assert inside.wait(60)
        with pytest.raises(CacheStateError, match="running in the thread"):
            case.pipe.transformer(torch.zeros(1))
        handle.remove()
        go_on.set()
        thread.join()
    assert torch.equal(results["images"], expected)


def test_a_second_thread_between_two_calls_is_refused_and_the_first_is_not_disturbed(pixart: Case) -> None:
    other = type(pixart.pipe)(**{**pixart.pipe.components, "scheduler": copy.deepcopy(pixart.pipe.scheduler)})
    other.set_progress_bar_config(disable=True)
    mine, errors = pixart.pipe, []

    def intrude() -> None:
        try:
            other(**pixart.inputs(1), num_inference_steps=4, **pixart.call)
        except CacheStateError as error:
            errors.append(str(error))

    def start_other(step: int, *_: Any) -> None:
        if step == 1:
            thread = threading.Thread(target=intrude)
            thread.start()
            thread.join()

    with apply_schedule(mine, pixart.random_schedule(3)):
        expected = pixart.generate()
        assert torch.equal(pixart.generate(callback=start_other, callback_steps=1), expected)
    assert len(errors) == 1
    assert "Two threads" in errors[0]


@pytest.mark.parametrize("start", range(6))
def test_of_two_pipelines_that_race_on_one_transformer_none_makes_a_wrong_image(flux: Case, start: int) -> None:
    """Each ends with the image of its schedule or an error; the second one, which has none, always with an error."""
    mine = flux.pipe
    other = type(mine)(**{**mine.components, "scheduler": copy.deepcopy(mine.scheduler)})
    other.set_progress_bar_config(disable=True)
    together = threading.Barrier(2)
    results: dict[str, Any] = {}

    def generate(pipe: Any) -> torch.Tensor:
        images: torch.Tensor = pipe(
            **flux.arguments(1), num_inference_steps=4, generator=torch.Generator().manual_seed(0)
        ).images
        return images

    def run(name: str, pipe: Any) -> None:
        together.wait(60)
        try:
            results[name] = generate(pipe)
        except CacheStateError as error:
            results[name] = error

    with apply_schedule(mine, flux.random_schedule(3)):
        expected = generate(mine)
        pairs = [("mine", mine), ("other", other)][:: 1 if start % 2 else -1]
        threads = [threading.Thread(target=run, args=pair) for pair in pairs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert isinstance(results["other"], CacheStateError)
        assert isinstance(results["mine"], CacheStateError) or torch.equal(results["mine"], expected)
        assert torch.equal(generate(mine), expected)


def test_runs_may_come_from_different_threads_one_after_the_other(case: Case) -> None:
    results: dict[str, Any] = {}
    with apply_schedule(case.pipe, case.random_schedule(3)):
        expected = case.generate()
        thread = threading.Thread(target=lambda: results.update(images=case.generate()))
        thread.start()
        thread.join()
    assert torch.equal(results["images"], expected)
