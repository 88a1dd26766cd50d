from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ecad_automl.runtime.plan import Action, actions
from ecad_automl.schedules.schedule import effective_compute

READERS = np.array([-1, 3, 3, -1])


@st.composite
def effective_bits(draw: st.DrawFn) -> NDArray[np.bool_]:
    steps = draw(st.integers(1, 8))
    row = st.lists(st.booleans(), min_size=4, max_size=4)
    return effective_compute(np.array(draw(st.lists(row, min_size=steps, max_size=steps))), READERS)


def is_read(effective: NDArray[np.bool_], step: int, slot: int) -> bool:
    return READERS[slot] < 0 or bool(effective[step, READERS[slot]])


@given(effective_bits())
def test_what_is_computed_is_what_the_schedule_computes(effective: NDArray[np.bool_]) -> None:
    plan = actions(effective, READERS)
    assert ((plan == Action.COMPUTE) | (plan == Action.STORE)).tolist() == effective.tolist()


@given(effective_bits())
def test_every_read_without_a_recompute_finds_the_last_output_and_nothing_else_is_kept(
    effective: NDArray[np.bool_],
) -> None:
    plan = actions(effective, READERS)
    for slot in range(4):
        held = False
        for step in range(len(effective)):
            action = plan[step, slot]
            if action in (Action.REUSE, Action.REUSE_LAST):
                assert held
                assert is_read(effective, step, slot)
            if action == Action.SKIP:
                assert not is_read(effective, step, slot)
            if effective[step, slot] or action == Action.REUSE_LAST:
                held = action == Action.STORE
            # Whatever is held is still to be read, before its slot is computed again.
            following = list(range(step + 1, len(effective)))
            until = next((later for later in following if effective[later, slot]), len(effective))
            assert held == any(is_read(effective, later, slot) for later in range(step + 1, until))
