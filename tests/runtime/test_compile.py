"""``torch.compile`` of blocks: one graph for each combination of what is computed and kept, none a second time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from torch._dynamo.utils import counters
from torch.testing import assert_close

from ecad_automl.errors import OptionError
from ecad_automl.runtime import apply_schedule
from ecad_automl.schedules.guidance import BOTH, KEEP, NONE
from ecad_automl.schedules.heuristics import fora
from ecad_automl.schedules.schedule import Schedule
from tests.runtime.cases import CASES, Case
from tests.runtime.cases.core import new_pixart_transformer


@pytest.fixture(autouse=True)
def fresh_dynamo() -> Iterator[None]:
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def few_combinations(case: Case) -> Schedule:
    """Steps that are computed whole, but for two slots, and forecast, one of them skipped."""
    steps = 6
    whole = np.repeat(np.isin(np.arange(steps), [0, 1, 4])[:, None], len(case.layout), axis=1)
    whole[4, :2] = False
    damping = np.full((steps, len(case.layout.components) + 1), 3)
    weights = np.tile([1.4, -0.4], (steps, len(case.layout) + 1, 1)) + 0.03 * np.arange(steps)[:, None, None]
    return Schedule(case.layout, whole, np.arange(steps) == 3, damping, weights)


# The eager backend compiles nothing, but all that can go wrong with tracing goes wrong with it too.
@pytest.mark.parametrize("name", ["pixart-guided", "flux", "sd3-guided", "sana-guided", "wan-guided"])
def test_blocks_are_traced_once_for_each_combination_without_breaks(name: str) -> None:
    case = CASES[name]()
    schedule = case.random_schedule(1, steps=2)
    with apply_schedule(case.pipe, schedule):
        expected = case.generate(steps=2)
    with apply_schedule(case.pipe, schedule, compile={"backend": "eager"}) as handle:
        images = case.generate(steps=2)
        assert torch.equal(case.generate(steps=2), images)
        functions = len(handle._functions)
    assert_close(images, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    assert counters["graph_break"] == {}
    assert counters["stats"]["unique_graphs"] == functions


@pytest.mark.parametrize("name", ["pixart-guided", "flux"])
def test_forecasts_by_other_numbers_are_not_traced_again(name: str) -> None:
    case = CASES[name]()
    first = few_combinations(case)
    second = Schedule(case.layout, first.compute, first.skip, first.damping, first.weights * 1.01)
    expected = []
    for schedule in (first, second):
        with apply_schedule(case.pipe, schedule):
            expected.append(case.generate(steps=6))
    with apply_schedule(case.pipe, first, compile={"backend": "eager"}) as handle:
        for schedule, images in zip((first, second, first), (*expected, expected[0]), strict=True):
            handle.switch(schedule)
            assert_close(case.generate(steps=6), images, rtol=1e-4, atol=1e-4 * float(images.abs().max()))
        functions = len(handle._functions)
    assert counters["graph_break"] == {}
    assert counters["stats"]["unique_graphs"] == functions


def all_kinds_of_steps(case: Case) -> Schedule:
    """Steps that are computed, reused, skipped, computed for one branch with and without guidance, and forecast."""
    steps = 8
    compute = np.repeat(np.isin(np.arange(steps), [0, 1, 4, 6])[:, None], len(case.layout), axis=1)
    damping = np.zeros((steps, len(case.layout.components) + 1), dtype=int)
    damping[[3, 5]] = 3
    weights = np.tile([1.4, -0.4], (steps, len(case.layout) + 1, 1))
    guidance = [BOTH, BOTH, BOTH, BOTH, KEEP, BOTH, NONE, BOTH]
    return Schedule(case.layout, compute, np.arange(steps) == 3, damping, weights, guidance)


# The compiler is told the mode, and hands out what was traced as it is.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Inductor's own modules
@pytest.mark.parametrize(
    ("name", "mode"),
    [("pixart-guided", "max-autotune"), ("flux-true-cfg", "reduce-overhead")],
)
def test_all_kinds_of_steps_are_traced_in_the_first_run_alone(name: str, mode: str) -> None:
    case = CASES[name]()
    schedule = all_kinds_of_steps(case)
    with apply_schedule(case.pipe, schedule):
        expected = case.generate(steps=8)
    modes: set[str] = set()

    def backend(graph: torch.fx.GraphModule, _inputs: object, **options: Any) -> Callable[..., Any]:
        modes.add(options.get("mode", "default"))
        return graph

    with apply_schedule(case.pipe, schedule, compile={"backend": backend, "mode": mode}):
        first = case.generate(steps=8)
        graphs = counters["stats"]["unique_graphs"]
        for _ in range(2):
            assert torch.equal(case.generate(steps=8), first)
    assert_close(first, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    assert modes == {mode}
    assert counters["graph_break"] == {}
    assert counters["stats"]["unique_graphs"] == graphs


@pytest.mark.parametrize("name", ["pixart-guided", "flux-true-cfg"])
def test_nothing_is_read_of_what_graphs_gave_in_an_earlier_call(name: str) -> None:
    case = CASES[name]()
    schedule = few_combinations(case)
    given: list[torch.Tensor] = []

    def backend(graph: torch.fx.GraphModule, _inputs: object, **_options: object) -> Callable[..., Any]:
        """Functions that give memory which is overwritten, as replays of CUDA graphs do."""

        def function(*args: Any) -> Any:
            outputs = tuple(output.clone() for output in graph(*args))
            given.extend(outputs)
            return outputs

        return function

    def overwrite() -> None:
        for output in given:
            output.fill_(torch.nan)
        given.clear()

    with apply_schedule(case.pipe, schedule):
        expected = case.generate(steps=6)
    with (
        mock.patch("torch.compiler.cudagraph_mark_step_begin", overwrite),
        apply_schedule(case.pipe, schedule, compile={"backend": backend, "mode": "reduce-overhead"}),
    ):
        for _ in range(2):
            assert_close(case.generate(steps=6), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    assert given


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Inductor's own modules
def test_reduce_overhead_runs_on_a_cpu(pixart: Case) -> None:
    pixart.pipe.transformer = new_pixart_transformer(layers=1)  # each block takes seconds
    pixart.layout = pixart.counted()
    schedule = fora(pixart.layout, 2, 2)  # functions that compute all, and ones that compute nothing
    with apply_schedule(pixart.pipe, schedule):
        expected = pixart.generate(steps=2)
    with apply_schedule(pixart.pipe, schedule, compile="reduce-overhead"):
        assert_close(pixart.generate(steps=2), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_an_unknown_mode_is_refused(pixart: Case) -> None:
    with pytest.raises(OptionError, match="no compile='fast'; take one of default, reduce-overhead, max-autotune"):
        apply_schedule(pixart.pipe, pixart.random_schedule(0), compile="fast")  # type: ignore[arg-type]
