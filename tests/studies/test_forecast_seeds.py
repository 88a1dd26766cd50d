"""Seeds that forecast and skip: against all choices there are, on runs of few steps."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecad_automl.schedules.drift import Drift
from ecad_automl.schedules.forecast import Forecasts
from ecad_automl.schedules.guidance_errors import GuidanceErrors, guidance_errors
from ecad_automl.schedules.layout import Layout, Slot
from studies.config import SearchConfig
from studies.cost import mac_cost
from studies.forecast_paths import best_paths, shared_out
from studies.forecast_seeds import _NOISES, ForecastSeeds, quick_schedules
from studies.seeds import first_schedules, ready_schedules
from tests.schedules.guided import guided_forecasts
from tests.schedules.test_forecast import LAYOUT as GUIDED_LAYOUT
from tests.schedules.test_forecast import STEPS as GUIDED_STEPS

STEPS = 6
LAYOUT = Layout(
    "Tiny",
    tuple(Slot(f"blocks.{block}", name, macs=macs) for block in (0, 1) for name, macs in (("attn", 7), ("ff", 11))),
    constant_macs=3,
)


def made_up_drift(seed: int = 0, steps: int = STEPS) -> Drift:
    """Of outputs that move along smooth curves with some noise."""
    rng = np.random.default_rng(seed)
    time = np.linspace(0, 1, steps)[None, :, None]
    rows = (len(LAYOUT) + 1, 1, 50)
    x = rng.normal(size=rows) + rng.normal(size=rows) * time + rng.normal(size=rows) * time**2
    x = x + 0.05 * rng.normal(size=(len(LAYOUT) + 1, steps, 50))
    moved = ((x[:, :, None] - x[:, None]) ** 2).mean(axis=-1)
    slots = tuple(slot.name for slot in LAYOUT.slots)
    return Drift.from_moments(slots, moved, (x**2).mean(axis=-1), response=np.linspace(0.5, 2.0, steps))


def total(error: np.ndarray, chosen: tuple[int, ...]) -> float:
    """Of one problem, by the definition."""
    found = 0.0
    for step in set(range(len(error))) - set(chosen):
        earlier = [each for each in chosen if each < step]
        found += error[step, earlier[-1], earlier[-2] if len(earlier) > 1 else earlier[-1]]
    return found


def choices(count: int) -> Iterator[tuple[int, ...]]:
    return ((0, *rest) for rest in itertools.combinations(range(1, STEPS), count - 1))


@given(st.integers(0, 2**32))
def test_paths_are_the_best_of_all_choices_for_each_number(seed: int) -> None:
    error = np.random.default_rng(seed).random((2, STEPS, STEPS, STEPS))
    least, chosen = best_paths(error)
    for problem, count in itertools.product(range(2), range(1, STEPS + 1)):
        path = tuple(np.flatnonzero(chosen[problem, count - 1]).tolist())
        best = min(total(error[problem], each) for each in choices(count))
        assert len(path) == count
        assert total(error[problem], path) == pytest.approx(best)
        assert least[problem, count - 1] == pytest.approx(best)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_runs_of_few_steps_have_paths_too(steps: int) -> None:
    _, chosen = best_paths(np.random.default_rng(0).random((1, steps, steps, steps)))
    assert chosen[0].sum(axis=1).tolist() == list(range(1, steps + 1))
    assert chosen[0, :, 0].all()


@given(st.integers(0, 2**32), st.floats(0.1, 10))
def test_what_is_shared_out_is_best_at_some_price(seed: int, price: float) -> None:
    """Of convex errors, the numbers of least error plus price are among those of all targets."""
    rng = np.random.default_rng(seed)
    least = np.sort(np.cumsum(np.sort(rng.random((3, STEPS))), axis=1))[:, ::-1]
    each = np.array([1.0, 2.0, 3.0])
    best = [np.argmin(row + price * cost * np.arange(STEPS)) + 1 for row, cost in zip(least, each, strict=True)]
    assert shared_out(least, each, [float(each @ best)])[0].tolist() == best


class TestSeeds:
    def test_skipped_steps_are_the_best_for_each_number(self) -> None:
        seeds = ForecastSeeds(Forecasts(made_up_drift(), LAYOUT.component_index), LAYOUT)
        found = seeds.skipping
        assert [int((~each.skip).sum()) for each in found] == list(range(1, STEPS + 1))
        assert all(each.effective[~each.skip].all() for each in found)
        errors = [seeds.predicted_error(each) for each in found]
        assert errors == sorted(errors, reverse=True)
        assert errors[-1] == 0.0
        forecasts = Forecasts(made_up_drift(), LAYOUT.component_index)
        own, carried = forecasts.expected_errors()[:, -1], forecasts.carried_noise()[:, -1]
        for count, each in enumerate(found, start=1):
            # The best of all choices where outputs bear errors of the size that this choice leads to.
            path = tuple(np.flatnonzero(~each.skip).tolist())
            tried = [(own + noise * carried).min(axis=0) for noise in _NOISES]
            least = np.array([min(total(error, choice) for choice in choices(count)) for error in tried])
            errors = np.array([total(error, path) for error in tried])
            assert np.isclose(errors, least, rtol=1e-4).any()

    def test_the_more_late_errors_count_the_later_are_the_steps_that_are_run(self) -> None:
        drift = made_up_drift(steps=16)
        seeds = ForecastSeeds(Forecasts(drift, LAYOUT.component_index), LAYOUT)
        assert drift.step_weights(1.0)[-4:].mean() > drift.step_weights(1.0)[:4].mean()
        assert seeds.skipping_by(1.0) == seeds.skipping
        by_power = [[np.flatnonzero(~each.skip).mean() for each in seeds.skipping_by(power)] for power in (0.0, 1, 2)]
        means = [np.mean(each) for each in by_power]
        assert means == sorted(means) and means[0] < means[-1]

    def test_the_fewer_steps_are_computed_the_more_forecasts_are_damped(self) -> None:
        found = ForecastSeeds(Forecasts(made_up_drift(steps=16), LAYOUT.component_index), LAYOUT).skipping
        told = [each.skip & (each.sources[1, :, -1] >= 0) for each in found]
        levels = [each.damping[of, -1].mean() for each, of in zip(found, told, strict=True) if of.any()]
        assert levels[0] < levels[-1]
        assert np.corrcoef(levels, np.arange(len(levels)))[0, 1] > 0.5
        assert all(not each.damping[~of, -1].any() for each, of in zip(found, told, strict=True))

    def test_forecast_slots_err_less_than_reused_ones(self) -> None:
        seeds = ForecastSeeds(Forecasts(made_up_drift(), LAYOUT.component_index), LAYOUT)
        for each in seeds.using(LAYOUT.slot_macs, 6):
            plain = type(each)(LAYOUT, each.compute)
            assert not each.skip.any()
            assert seeds.predicted_error(each) <= seeds.predicted_error(plain)
            assert seeds.predicted_error(each) < seeds.predicted_error(plain) or not each.damping.any()

    def test_tied_slots_share_their_steps(self) -> None:
        seeds = ForecastSeeds(Forecasts(made_up_drift(), LAYOUT.component_index), LAYOUT)
        found = seeds.using(LAYOUT.slot_macs, 6, LAYOUT.component_index)
        assert len(found) > 3
        for each in found:
            assert (each.effective[:, :2] == each.effective[:, 2:]).all()
        assert [each.macs for each in found] == sorted((each.macs for each in found), reverse=True)

    def test_without_prices_all_slots_count_alike(self) -> None:
        seeds = ForecastSeeds(Forecasts(made_up_drift(), LAYOUT.component_index), LAYOUT)
        assert len(seeds.using(np.zeros(len(LAYOUT)), 4)) > 1


class TestGuidance:
    """With the best choice of the steps to run given, both branches are computed at the best of these."""

    layout, steps, scale = GUIDED_LAYOUT, GUIDED_STEPS, 3.0

    def made(self) -> tuple[ForecastSeeds, GuidanceErrors]:
        forecasts = guided_forecasts()
        errors = guidance_errors(forecasts, self.scale)
        assert errors is not None
        return ForecastSeeds(forecasts, self.layout, errors), errors

    def test_both_branches_are_computed_where_that_is_best(self) -> None:
        seeds, errors = self.made()
        found = seeds.guiding
        assert found
        for schedule in found:
            run = np.flatnonzero(~schedule.skip)
            both = int(schedule.guidance.both.sum())
            assert both < len(run)
            # With all steps run each error counts by itself, so all choices can be tried.
            if len(run) == self.steps:
                path = tuple(np.flatnonzero(schedule.guidance.both).tolist())
                tried = [(errors.error + noise * errors.carried).min(axis=0) for noise in _NOISES]
                every = [(0, *rest) for rest in itertools.combinations(range(1, self.steps), both - 1)]
                least = np.array([min(total(error, choice) for choice in every) for error in tried])
                assert np.isclose([total(error, path) for error in tried], least, rtol=1e-4).any()

    def test_leaving_a_branch_out_is_expected_to_err_more(self) -> None:
        seeds, _ = self.made()
        by_run = {int((~each.skip).sum()): seeds.predicted_error(each) for each in seeds.skipping}
        for schedule in seeds.guiding:
            if (schedule.skip == seeds.skipping[int((~schedule.skip).sum()) - 1].skip).all():
                assert seeds.predicted_error(schedule) > by_run[int((~schedule.skip).sum())]

    def test_a_quick_front_has_them_where_they_pay(self) -> None:
        seeds, _ = self.made()
        front = quick_schedules(seeds, self.layout, 2)
        assert any(not schedule.guidance.is_full for schedule, _ in front)
        plain = dict(quick_schedules(ForecastSeeds(guided_forecasts(), self.layout), self.layout, 2))
        for schedule, error in plain.items():
            assert min(other for each, other in front if each.macs <= schedule.macs) <= error

    def test_a_search_tries_them_with_the_difference_kept_and_without_guidance(self) -> None:
        seeds, _ = self.made()
        for kept in seeds.guiding:
            without = seeds.unguided(kept)
            assert without.macs == kept.macs
            assert (without.skip == kept.skip).all()
            assert (without.guidance.alone == kept.guidance.alone).all()
            assert not without.guidance.kept.any()
        cost = mac_cost(self.layout)
        config = SearchConfig()
        first = first_schedules(self.layout, guided_forecasts().drift, config, cost, forecasting=seeds)
        pool = ready_schedules(self.layout, {self.steps: seeds}, cost, 0.0)
        for found in (list(first.values()), pool):
            alone = [each for each in found if not each.guidance.is_full]
            assert {bool(each.guidance.kept.any()) for each in alone} == {True, False}

    def test_without_errors_of_guidance_there_are_none(self) -> None:
        assert ForecastSeeds(guided_forecasts(), self.layout).guiding == ()


def test_errors_of_reuse_are_those_of_the_drift() -> None:
    drift = made_up_drift()
    found = Forecasts(drift, LAYOUT.component_index).expected_errors()[:, :]
    for step in range(1, STEPS):
        np.testing.assert_allclose(
            found[0, :-1, step, step - 1, 0], drift.expected_error()[:, step, step - 1], rtol=1e-3
        )
    assert (found.min(axis=0) <= found[0] + 1e-6).all()
