"""Features of schedules that forecast and skip, against a slow walk over their uses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecad_automl.errors import ScheduleError
from ecad_automl.schedules.guidance import KEEP, NONE
from ecad_automl.schedules.guidance_errors import guidance_errors
from ecad_automl.schedules.schedule import Schedule
from surrogate import FeatureContext, features_and_drift, group_drift
from surrogate.features import THIRDS
from tests.schedules.guided import guided_forecasts
from tests.schedules.test_forecast import COLUMNS, LAYOUT, STEPS, drift_of, forecasts, outputs

DRIFT, FORECASTS = drift_of(outputs()), forecasts(outputs())
PLAIN = FeatureContext(LAYOUT.block_index, LAYOUT.component_index, LAYOUT.slot_macs, DRIFT.expected_error())
CONTEXT = replace(PLAIN, errors=FORECASTS.expected_errors())


def random_schedule(seed: int) -> Schedule:
    rng = np.random.default_rng(seed)
    compute = rng.random((STEPS, len(LAYOUT))) < 0.5
    # Slots that another one reads do not err while it is reused, which neither features nor the walk know.
    compute[:, LAYOUT.reader_index >= 0] = True
    levels = rng.integers(0, 4, (STEPS, COLUMNS))
    return Schedule(LAYOUT, compute, rng.random(STEPS) < 0.3, levels, FORECASTS)


@given(st.integers(0, 2**32))
def test_plain_schedules_look_as_they_did_and_have_no_skips(seed: int) -> None:
    compute = np.random.default_rng(seed).random((3, STEPS, len(LAYOUT))) < 0.5
    schedules = [Schedule(LAYOUT, row) for row in compute]
    bits = np.stack([schedule.effective for schedule in schedules])
    before, drift = features_and_drift(bits, PLAIN)
    after, more = features_and_drift(np.stack([schedule.genes for schedule in schedules]), CONTEXT)
    assert np.array_equal(after[:, : before.shape[1]], before)
    assert not after[:, before.shape[1] :].any()
    assert np.array_equal(more[..., :-1], drift)
    assert not more[..., -1].any()


@given(st.integers(0, 2**32))
def test_errors_and_drift_are_those_of_the_uses(seed: int) -> None:
    schedule = random_schedule(seed)
    assert CONTEXT.errors is not None
    error, drift = np.zeros((2, STEPS, len(LAYOUT) + 1))
    for step, row in np.argwhere(schedule.used):
        last, before = schedule.sources[:, step, row]
        level = schedule.damping[step, FORECASTS.group[row]]
        error[step, row] = CONTEXT.errors[level, row, step, last, max(before, 0)]
        drift[step, row] = CONTEXT.errors[0, row, step, last, max(before, 0)]
    genes = schedule.genes[None]
    # Slots that another one reads count also where that is reused.
    alone = [group for group in set(CONTEXT.groups) if (LAYOUT.reader_index[CONTEXT.groups == group] < 0).all()]
    found = group_drift(genes, CONTEXT)[0]
    for group in alone:
        expected = drift[:, :-1][:, CONTEXT.groups == group].sum(axis=1)
        np.testing.assert_allclose(found[:, group], expected, rtol=1e-3, atol=1e-5)
    scale = np.sqrt(len(LAYOUT))
    np.testing.assert_allclose(found[:, -1], drift[:, -1] * scale, rtol=1e-5)
    features = features_and_drift(genes, CONTEXT)[0][0]
    of_skips = features[-6:-3]
    skipped = error[:, -1] * scale
    np.testing.assert_allclose(of_skips, [skipped.sum(), skipped.max(), drift[:, -1].sum() * scale], rtol=1e-5)


def test_the_more_is_forecast_the_less_are_errors_but_not_the_drift() -> None:
    compute = np.ones((STEPS, len(LAYOUT)), bool)
    compute[3::2] = False
    schedules = [Schedule(LAYOUT, compute, None, np.full((STEPS, COLUMNS), level), FORECASTS) for level in range(4)]
    features, drift = features_and_drift(np.stack([schedule.genes for schedule in schedules]), CONTEXT)
    bands = features[:, :6].sum(axis=1)  # over all steps
    assert bands.tolist() == sorted(bands, reverse=True)
    assert bands[0] > 1.5 * bands[-1]
    assert all(np.array_equal(each, drift[0]) for each in drift)


def test_other_columns_are_refused() -> None:
    with pytest.raises(ScheduleError, match="7 columns.*5 or 16"):
        group_drift(np.ones((1, STEPS, 7), bool), CONTEXT)
    with pytest.raises(ScheduleError, match=r"errors have the shape.*\(levels, 6, steps, steps, steps\)"):
        replace(CONTEXT, errors=np.zeros((4, 6, 2, 2, 2), np.float32))


class TestGuidance:
    errors = guidance_errors(guided_forecasts(), 3.0)
    context = replace(CONTEXT, guidance=None if errors is None else errors.error)

    @given(st.integers(0, 2**32))
    def test_errors_are_those_of_what_is_kept(self, seed: int) -> None:
        plain = random_schedule(seed)
        actions = np.random.default_rng(seed).integers(0, NONE + 1, STEPS)
        schedule = Schedule(LAYOUT, plain.compute, plain.skip, plain.damping, guided_forecasts(), actions)
        assert self.errors is not None
        expected = np.zeros(STEPS)
        for step in np.flatnonzero(schedule.guidance.alone):
            last, before = np.maximum(schedule.guidance.sources[:, step], 0)
            expected[step] = self.errors.error[schedule.guidance.actions[step] - KEEP, step, last, before]
        genes = schedule.guided_genes[None]
        found = group_drift(genes, self.context)[0, :, -1]
        np.testing.assert_allclose(found, expected * np.sqrt(len(LAYOUT)), rtol=1e-6)
        x = features_and_drift(genes, self.context)[0][0]
        own = STEPS + 2 + THIRDS  # by step, in all and the highest, and shares
        assert np.isclose(x[-own:][STEPS], found.sum())
        assert np.isclose(x[-THIRDS:].sum() * STEPS / THIRDS, schedule.guidance.alone.sum())

    @given(st.integers(0, 2**32))
    def test_schedules_with_both_branches_look_as_they_did(self, seed: int) -> None:
        schedule = random_schedule(seed)
        before, groups = features_and_drift(schedule.genes[None], CONTEXT)
        after, more = features_and_drift(schedule.guided_genes[None], self.context)
        assert np.array_equal(after[:, : before.shape[1]], before)
        assert np.array_equal(more[..., :-1], groups)
        assert not after[:, before.shape[1] :].any() and not more[..., -1].any()
