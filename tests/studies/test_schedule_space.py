from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecad_automl.schedules.layout import Layout, Slot
from studies.breeding import describe
from studies.schedule_space import schedule_descriptors

PIXART = ("attn1", "attn2", "ff")
FLUX = ("attn", "ff", "ff_context", "proj_mlp", "proj_out")


def layout(components: tuple[str, ...], blocks: int = 1) -> Layout:
    slots = [Slot(f"blocks.{block}", name, None, 1) for block in range(blocks) for name in components]
    return Layout("MadeUp", tuple(slots), 1)


@pytest.mark.parametrize("components", [PIXART, FLUX])
@given(st.integers(0, 2**32), st.integers(1, 30))
def test_descriptors_are_about_a_dozen_and_within_their_ranges(
    components: tuple[str, ...], seed: int, steps: int
) -> None:
    rng = np.random.default_rng(seed)
    bits = rng.random((steps, 4 * len(components))) < 0.5
    bits[0] = True
    found = describe(schedule_descriptors(layout(components, 4), steps), bits)
    assert 9 <= len(found) <= 14


def test_descriptors_say_what_they_are_named_after() -> None:
    bits = np.zeros((9, 3), bool)
    bits[0] = True
    bits[:, 0] = True
    bits[6:, 2] = True
    found = describe(schedule_descriptors(layout(PIXART), 9), bits)
    assert found["attn1 early"] == found["attn1 middle"] == found["attn1 late"] == 1.0
    assert found["attn2 late"] == 0.0
    assert found["ff late"] == 1.0
    assert found["compute fraction"] == bits.mean()
    assert found["longest reuse"] == 8
