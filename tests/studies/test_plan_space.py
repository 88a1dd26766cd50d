"""Schedules of several numbers of steps in one search."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecad_automl.errors import OptionError, ScheduleError
from ecad_automl.schedules.drift import Drift
from ecad_automl.schedules.forecast import DAMPING, Forecasts
from ecad_automl.schedules.genes import counts_of, plan_rows, spread
from ecad_automl.schedules.genomes import Genomes, write_genome
from ecad_automl.schedules.guidance_errors import GuidanceErrors
from ecad_automl.schedules.schedule import Schedule
from studies import schedule_space
from studies.breeding import Past
from studies.config import SearchConfig
from studies.cost import mac_cost
from studies.forecast_seeds import ForecastSeeds
from studies.plan_space import PlanSpace
from studies.quality import Scale
from studies.seeds import fewer_steps, first_schedules, ready_schedules, searched_steps, shorter_schedules
from surrogate import FeatureContext, Surrogate, features_and_drift, group_drift
from surrogate.features import _uses, computes
from tests.studies.conftest import small_layout

LAYOUT = small_layout()
COUNTS = (4, 5, 6, 8)
STEPS = COUNTS[-1]


def drift(steps: int) -> Drift:
    pace = np.random.default_rng(0).uniform(0.02, 0.3, (len(LAYOUT), 1, 1)) * STEPS / steps
    apart = np.abs(np.subtract.outer(np.arange(steps), np.arange(steps)))
    distance = (1 - np.exp(-pace * apart)).astype(np.float32)
    return Drift(tuple(slot.name for slot in LAYOUT.slots), distance, np.ones((len(LAYOUT), steps), np.float32))


DRIFTS = {count: drift(count) for count in COUNTS}
FORECASTS = {count: Forecasts(of, LAYOUT.component_index) for count, of in DRIFTS.items()}


def space(*, forecasts: bool = True) -> PlanSpace:
    cost = mac_cost(LAYOUT)
    errors = {count: of.distance.astype(np.float64) for count, of in DRIFTS.items()}
    return PlanSpace(
        LAYOUT, STEPS, cost, Scale(0.0, -1.0, cost.of_steps(STEPS)), errors, FORECASTS if forecasts else {}
    )


SPACES = {True: space(), False: space(forecasts=False)}


@st.composite
def schedules(draw: st.DrawFn, forecasts: bool = True) -> Schedule:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    steps = draw(st.sampled_from(COUNTS))
    compute = rng.random((steps, len(LAYOUT))) < rng.random()
    if not forecasts:
        return Schedule(LAYOUT, compute)
    levels = rng.integers(0, 4, (steps, len(LAYOUT.components) + 1))
    return Schedule(LAYOUT, compute, rng.random(steps) < 0.2, levels, FORECASTS[steps])


@pytest.mark.parametrize("steps", [8, 20, 50])
def test_rows_of_any_number_of_steps_are_found_again(steps: int) -> None:
    counts = np.arange(1, steps + 1)
    for count in counts:
        genes = np.random.default_rng(0).random((3, count, 5)) < 0.5
        grid = spread(genes, steps)
        assert plan_rows(count, steps)[0] == 0
        assert (counts[counts_of(grid, counts)] == count).all()
        assert (grid[:, plan_rows(count, steps), :-1] == genes).all()


@pytest.mark.parametrize("forecasts", [True, False])
@given(st.data())
@settings(deadline=None, max_examples=50)
def test_genes_and_genomes_give_the_schedule_back(forecasts: bool, data: st.DataObject) -> None:
    searched = SPACES[forecasts]
    schedule = data.draw(schedules(forecasts))
    genes = searched.genes([schedule])
    assert searched.candidate(genes[0]) == schedule
    genome = searched.write(schedule)
    assert genome.startswith(f"{schedule.steps}:") == (schedule.steps != STEPS)
    assert searched.read(genome) == schedule
    assert searched._costs(genes)[0] == pytest.approx(schedule.gmacs)
    assert 0 < schedule.mac_fraction_of(STEPS) <= 1
    for name, descriptor in searched.descriptors.items():
        assert descriptor.low <= descriptor.of(genes[0]) <= descriptor.high, name
    assert searched.descriptors["steps"].of(genes[0]) == schedule.steps / STEPS


@pytest.mark.parametrize("text", ["x:00", ":00", "8:00", "0:00", "9999999:00"])
def test_other_beginnings_of_genomes_are_refused(text: str) -> None:
    with pytest.raises(ScheduleError, match="begins with"):
        Genomes(LAYOUT, STEPS).schedule(text)


def test_forecasts_need_the_drift_of_their_number_of_steps() -> None:
    schedule = next(each for each in FORECASTS if each != STEPS)
    made = Schedule(LAYOUT, np.eye(4, len(LAYOUT)), None, np.full((4, 4), 3), FORECASTS[4])
    genome = write_genome(made, STEPS)
    with pytest.raises(ScheduleError, match="4 steps that forecasts outputs needs the drift"):
        Genomes(LAYOUT, STEPS, DRIFTS[STEPS].to_bytes).schedule(genome)
    read = Genomes(LAYOUT, STEPS, load_other=lambda count: DRIFTS[count].to_bytes())
    assert read.schedule(genome) == made
    assert read.steps_of(genome) == schedule == 4


def test_children_have_all_numbers_of_steps() -> None:
    searched = SPACES[True]
    rng = np.random.default_rng(0)
    parents = searched.genes([Schedule.all_compute(LAYOUT, STEPS), Schedule.all_compute(LAYOUT, 5)])
    children, names = searched.breed(parents, 300, None, rng)
    assert {searched.candidate(child).steps for child in children} == set(COUNTS)
    assert any("steps" in name.split("+") for name in names)


def test_without_shorter_runs_features_are_those_of_one_number_of_steps() -> None:
    searched = SPACES[True]
    plain = FeatureContext(
        *(LAYOUT.block_index, LAYOUT.component_index, LAYOUT.slot_macs, DRIFTS[STEPS].distance.astype(np.float64)),
        FORECASTS[STEPS].expected_errors(),
    )
    rng = np.random.default_rng(1)
    whole = [Schedule(LAYOUT, rng.random((STEPS, len(LAYOUT))) < 0.5, rng.random(STEPS) < 0.2) for _ in range(5)]
    x, by_group = features_and_drift(searched.genes(whole), searched._context)
    expected, groups = features_and_drift(np.stack([each.genes for each in whole]), plain)
    np.testing.assert_allclose(x[:, :-2], expected)
    np.testing.assert_allclose(by_group[:, :, :-1], groups)
    assert (x[:, -2:] == [1.0, 0.0]).all()


def test_the_fewer_steps_the_more_a_run_is_expected_to_lose() -> None:
    searched = SPACES[True]
    genes = searched.genes([Schedule.all_compute(LAYOUT, count) for count in COUNTS])
    found = group_drift(genes, searched._context).sum(axis=(1, 2))
    assert (np.diff(found) < 0).all()
    assert found[-1] == 0


def test_a_surrogate_learns_what_fewer_steps_do() -> None:
    searched = SPACES[True]
    rng = np.random.default_rng(2)
    known = [Schedule(LAYOUT, rng.random((count, len(LAYOUT))) < 0.7) for count in COUNTS * 10]
    known += [Schedule.all_compute(LAYOUT, count) for count in COUNTS]
    genes = searched.genes(known)
    loss = group_drift(genes, searched._context).sum(axis=(1, 2))
    found = Surrogate(searched._context).fit(genes, -loss).predict(searched.genes(known[-len(COUNTS) :]))
    assert (np.diff(found.reward) > 0).all()


def test_seeds_are_of_every_number_of_steps() -> None:
    cost = mac_cost(LAYOUT)
    shorter = COUNTS[:-1]
    forecasting = {count: ForecastSeeds(of, LAYOUT) for count, of in FORECASTS.items()}
    found = shorter_schedules(LAYOUT, shorter, cost, forecasting, 0.0)
    assert {schedule.steps for schedule in found.values()} == set(shorter)
    for count in shorter:
        assert found[f"{count} steps"] == Schedule.all_compute(LAYOUT, count)
        assert found[f"{count}-steps-skip-1"].skip.sum() == 1
    dear = shorter_schedules(LAYOUT, shorter, cost, forecasting, cost.of_steps(5))
    assert [name for name in dear if "skip" in name] == ["6-steps-skip-1"]
    assert not any("skip" in name for name in shorter_schedules(LAYOUT, shorter, cost, {}, 0.0))
    assert not set(found.values()) & set(first_schedules(LAYOUT, DRIFTS[STEPS], SearchConfig(), cost).values())


def test_all_smaller_numbers_of_steps_of_a_run_are_searched_and_of_a_long_one_those_of_the_calibration() -> None:
    assert searched_steps(14) == list(range(3, 14))
    assert searched_steps(28) == list(range(6, 28))
    assert searched_steps(28, 0.5) == list(range(14, 28))
    assert searched_steps(50) == fewer_steps(50)
    assert searched_steps(50, 0.35) == [20, 25, 32, 40]
    assert not searched_steps(20, 1.0)


def test_every_pool_has_plans_of_every_number_of_steps_and_by_several_powers_of_the_response() -> None:
    cost = mac_cost(LAYOUT)
    forecasting = {count: ForecastSeeds(of, LAYOUT) for count, of in FORECASTS.items()}
    found = ready_schedules(LAYOUT, forecasting, cost, 0.0)
    assert {schedule.steps for schedule in found} == set(COUNTS)
    assert len(set(found)) == len(found)
    assert {Schedule.all_compute(LAYOUT, count) for count in COUNTS} < set(found)
    assert set(forecasting[STEPS].skipping_by(2.0)) < set(found)
    least = cost.of_steps(2)
    dear = ready_schedules(LAYOUT, forecasting, cost, least)
    assert dear == [schedule for schedule in found if cost.of(schedule) >= least]


@pytest.mark.parametrize("share", [0.0, 1.5])
def test_a_share_of_the_steps_is_one(share: float) -> None:
    with pytest.raises(OptionError, match="a share above 0"):
        SearchConfig(steps_from=share)


@pytest.mark.parametrize("guided", [True, False])
def test_a_space_learns_from_what_other_studies_have_evaluated(guided: bool) -> None:
    cost = mac_cost(LAYOUT)
    errors = {count: of.distance.astype(np.float64) for count, of in DRIFTS.items()}
    none = GuidanceErrors(*np.zeros((2, len(DAMPING) + 1, STEPS, STEPS, STEPS)))
    guidance = {count: GuidanceErrors(*(each[:, :count, :count, :count] for each in none)) for count in COUNTS}
    known = [Schedule.all_compute(LAYOUT, STEPS), Schedule(LAYOUT, np.eye(STEPS, len(LAYOUT)))]
    searched = PlanSpace(
        *(LAYOUT, STEPS, cost, Scale(0.0, -1.0, cost.of_steps(STEPS)), errors, FORECASTS, guidance if guided else {}),
        evaluated=known,
        log_drop=np.array([-5.0, -1.0]),
    )
    assert searched._prior is not None
    assert searched._prior.genes.shape == searched.genes(known).shape
    assert [searched.candidate(genes) for genes in searched._prior.genes] == known


@pytest.mark.parametrize("forecasts", [True, False])
def test_how_much_is_computed_is_told_without_all_else(forecasts: bool) -> None:
    searched, rng = SPACES[forecasts], np.random.default_rng(0)
    genes = rng.random((40, STEPS, searched._inner + 1)) < 0.5
    assert (computes(genes, searched._context) == _uses(genes, searched._context).compute.sum(axis=(1, 2))).all()


def test_surrogates_learn_from_the_seeds_and_the_latest(monkeypatch: pytest.MonkeyPatch) -> None:
    learned: list[list[float]] = []
    fit = Surrogate.fit

    def noted(self: Surrogate, genes: Any, rewards: Any, weights: Any = None) -> Surrogate:
        learned.append(list(rewards))
        return fit(self, genes, rewards, weights)

    monkeypatch.setattr(schedule_space, "_MOST_LEARNED", 20)
    monkeypatch.setattr(Surrogate, "fit", noted)
    searched, rng = SPACES[True], np.random.default_rng(0)
    genes = searched.genes([searched.candidate(row) for row in rng.random((60, STEPS, searched._inner + 1)) < 0.5])
    past = Past[Schedule].of(genes, -rng.random(60), rng.random(60), ())
    past = replace(past, generation=np.repeat([0, 1], [10, 50]))
    searched.fit(past, searched.accuracy(past, 0.1))
    assert learned == [[*past.reward[:10], *past.reward[40:]]]
