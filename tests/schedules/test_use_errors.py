from __future__ import annotations

import numpy as np

from ecad_automl.schedules.use_errors import UseErrors

LEVELS, ROWS, STEPS = 2, 3, 7


def filled() -> tuple[UseErrors, np.ndarray]:
    """Errors, and the whole array that they are of."""
    rng = np.random.default_rng(0)
    whole = np.zeros((LEVELS, ROWS, STEPS, STEPS, STEPS), dtype=np.float32)
    found = UseErrors(LEVELS, ROWS, STEPS)
    for step in range(1, STEPS):
        errors = rng.random((LEVELS, ROWS, step, step), dtype=np.float32)
        found.fill(step, errors)
        whole[:, :, step, :step, :step] = np.tril(errors)
    return found, whole


def test_what_can_be_stands_where_it_would_in_a_whole_array() -> None:
    found, whole = filled()
    assert found.shape == whole.shape
    assert np.array_equal(found[:, :], whole)
    assert np.array_equal(found[:, -1], whole[:, -1])
    np.testing.assert_allclose(found.summed(np.array([0, 2])), whole[:, [0, 2]].sum(axis=1), rtol=1e-6)


def test_single_uses_are_looked_up_by_all_they_depend_on() -> None:
    found, whole = filled()
    step, last, before = np.array([[6, 3, 1], [5, 2, 0], [4, 2, 0]])
    level, row = np.array([1, 0, 1]), np.array([2, 1, 0])
    assert np.array_equal(found[level, row, step, last, before], whole[level, row, step, last, before])
    assert np.array_equal(found[level[:, None], -1, step, last, before], whole[level[:, None], -1, step, last, before])


def test_a_step_that_was_just_computed_may_be_asked_for() -> None:
    """Of all steps and slots at once, also of those that use nothing."""
    found, _ = filled()
    assert np.isfinite(found[LEVELS - 1, ROWS - 1, STEPS - 1, STEPS - 1, STEPS - 1])
