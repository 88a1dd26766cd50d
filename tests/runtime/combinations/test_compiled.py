"""What was compiled by other means than ``apply_schedule(..., compile=...)``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import torch

from ecad_automl.errors import CacheStateError, UnsupportedModelError
from ecad_automl.runtime import apply_schedule
from tests.runtime.cases import Case
from tests.runtime.combinations.table import FLUX, PIXART, STEPS, schedule_for

if TYPE_CHECKING:
    from tests.runtime.conftest import Reference


@pytest.mark.parametrize(("whole", "when"), [(True, "before"), (False, "before"), (False, "between")])
def test_a_model_compiled_in_place_runs_blocks_uncompiled(
    flux: Case, whole: bool, when: str, reference: Reference
) -> None:
    transformer = flux.pipe.transformer
    schedule = schedule_for(FLUX)
    plain = flux.generate(steps=STEPS)
    expected = reference(flux, schedule, lambda: flux.generate(steps=STEPS))
    graphs: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, _inputs: object) -> Callable[..., Any]:
        graphs.append(graph)
        return graph.forward

    def put() -> None:
        (transformer.compile if whole else transformer.compile_repeated_blocks)(backend=backend)

    torch._dynamo.reset()
    if when == "before":
        put()
    with apply_schedule(flux.pipe, schedule, fuse=False):
        if when == "between":
            flux.generate(steps=STEPS)
            put()
        assert torch.equal(flux.generate(steps=STEPS), expected)
        # Tracing our hooks would make dozens, anew for other steps.
        assert len(graphs) <= (4 if whole else 0)
    assert torch.equal(flux.generate(steps=STEPS), plain)
    torch._dynamo.reset()


def test_a_transformer_may_be_wrapped_by_compile_after_applying(flux: Case, reference: Reference) -> None:
    schedule = schedule_for(FLUX)
    expected = reference(flux, schedule, lambda: flux.generate(steps=STEPS))
    real = flux.pipe.transformer
    torch._dynamo.reset()
    with apply_schedule(flux.pipe, schedule, fuse=False):
        flux.pipe.transformer = torch.compile(real, backend="eager")
        assert torch.equal(flux.generate(steps=STEPS), expected)
    torch._dynamo.reset()


def test_a_transformer_wrapped_by_compile_is_refused(pixart: Case) -> None:
    schedule = schedule_for(PIXART)
    pixart.pipe.transformer = torch.compile(pixart.pipe.transformer, backend="eager")
    with pytest.raises(UnsupportedModelError, match=r"wrapped by torch\.compile"):
        apply_schedule(pixart.pipe, schedule)


def test_blocks_wrapped_by_compile_are_refused(pixart: Case) -> None:
    schedule = schedule_for(PIXART)
    blocks = pixart.pipe.transformer.transformer_blocks
    real = blocks[1]
    with apply_schedule(pixart.pipe, schedule):
        blocks[1] = torch.compile(real, backend="eager")
        with pytest.raises(CacheStateError, match="replaced after the schedule was applied"):
            pixart.generate(steps=STEPS)
    with pytest.raises(UnsupportedModelError, match=r"blocks\.1 is wrapped by torch\.compile"):
        apply_schedule(pixart.pipe, schedule)
    blocks[1] = real
    with apply_schedule(pixart.pipe, schedule):
        pixart.generate(steps=STEPS)
