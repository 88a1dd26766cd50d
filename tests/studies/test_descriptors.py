from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from studies.descriptors import descriptor_names, descriptor_ranges, descriptors

PIXART = ("attn1", "attn2", "ff")
FLUX = ("attn", "ff", "ff_context", "proj_mlp", "proj_out")


@given(st.integers(0, 2**32), st.sampled_from([PIXART, FLUX]), st.integers(1, 30))
def test_descriptors_are_about_a_dozen_and_within_their_ranges(
    seed: int, components: tuple[str, ...], steps: int
) -> None:
    rng = np.random.default_rng(seed)
    index = np.tile(np.arange(len(components)), 4)
    bits = rng.random((steps, len(index))) < 0.5
    bits[0] = True
    found = descriptors(bits, components, index)
    assert tuple(found) == descriptor_names(components)
    assert 9 <= len(found) <= 14
    for name, (low, high) in descriptor_ranges(components, steps).items():
        assert low <= found[name] <= high


def test_descriptors_say_what_they_are_named_after() -> None:
    bits = np.zeros((9, 3), bool)
    bits[0] = True
    bits[:, 0] = True
    bits[6:, 2] = True
    found = descriptors(bits, PIXART, np.arange(3))
    assert found["attn1 early"] == found["attn1 middle"] == found["attn1 late"] == 1.0
    assert found["attn2 late"] == 0.0
    assert found["ff late"] == 1.0
    assert found["compute fraction"] == bits.mean()
    assert found["longest reuse"] == 8
