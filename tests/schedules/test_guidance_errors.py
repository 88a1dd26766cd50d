"""Errors of guidance by one branch alone, against outputs that are at hand."""

from __future__ import annotations

import numpy as np
import pytest

from ecad_automl.schedules.forecast import DAMPING, damped
from ecad_automl.schedules.guidance_errors import guidance_errors
from tests.schedules.guided import branches, guided_forecasts
from tests.schedules.test_forecast import forecasts, outputs

SCALE = 4.0


@pytest.mark.parametrize("level", range(len(DAMPING)))
def test_errors_are_those_of_the_guided_output(level: int) -> None:
    conditional, difference = branches()
    of = guided_forecasts()
    found = guidance_errors(of, SCALE)
    assert found is not None and of.guidance_weights is not None
    for step, last, before in ((5, 4, 2), (8, 6, 5), (3, 1, 0)):
        w1, w0 = damped(of.guidance_weights[step, last, before], level)
        kept = w1 * difference[last] + w0 * difference[before]
        # Guidance is u + s (c - u), which is c + (s - 1) (c - u).
        guided, fresh = (conditional[step] + (SCALE - 1) * each for each in (kept, difference[step]))
        expected = ((guided - fresh) ** 2).mean() / (conditional[step] ** 2).mean()
        assert found.error[level, step, last, before] == pytest.approx(expected, rel=1e-3)


def test_without_guidance_all_of_it_is_missed() -> None:
    conditional, difference = branches()
    found = guidance_errors(guided_forecasts(), SCALE)
    assert found is not None
    expected = ((SCALE - 1) * difference) ** 2
    np.testing.assert_allclose(
        found.error[-1, :, 3, 1], expected.mean(axis=1) / (conditional**2).mean(axis=1), rtol=1e-3
    )
    assert not found.carried[-1].any()


def test_reuse_hands_errors_on_and_forecasts_add_to_them() -> None:
    found = guidance_errors(guided_forecasts(), SCALE)
    assert found is not None
    assert not found.carried[0].any()
    assert (found.carried[3, 5:, 4, 2] > 0).all()


def test_no_guidance_needs_none() -> None:
    found = guidance_errors(guided_forecasts(), 1.0)
    assert found is not None
    assert not found.error.any()


def test_a_drift_without_branches_tells_nothing() -> None:
    assert guidance_errors(forecasts(outputs()), SCALE) is None
