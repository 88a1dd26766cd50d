"""``torch.compile`` of blocks: one graph for each combination of what is computed and kept, none a second time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch._dynamo.utils import counters
from torch.testing import assert_close

from ecad_automl.runtime import apply_schedule
from tests.runtime.cases import CASES


@pytest.fixture(autouse=True)
def fresh_dynamo() -> Iterator[None]:
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


# The eager backend compiles nothing, but all that can go wrong with tracing goes wrong with it too.
@pytest.mark.parametrize("name", ["pixart-guided", "flux", "sd3-guided", "sana-guided", "wan-guided"])
def test_blocks_are_traced_once_for_each_combination_without_breaks(name: str) -> None:
    case = CASES[name]()
    schedule = case.random_schedule(1)
    with apply_schedule(case.pipe, schedule):
        expected = case.generate()
    with apply_schedule(case.pipe, schedule, compile={"backend": "eager"}) as handle:
        images = case.generate()
        assert torch.equal(case.generate(), images)
        functions = len(handle._visitor._functions)
    assert_close(images, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    assert counters["graph_break"] == {}
    assert counters["stats"]["unique_graphs"] == functions
