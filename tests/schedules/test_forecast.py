"""Weights of forecasts, against least squares on outputs that are at hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecad_automl.errors import ScheduleError
from ecad_automl.schedules.drift import Drift
from ecad_automl.schedules.forecast import DAMPING, Forecasts, damped, forecast_sources
from ecad_automl.schedules.layout import Layout, Slot
from ecad_automl.schedules.schedule import Schedule

STEPS, ELEMENTS = 9, 400
LAYOUT = Layout(
    "Tiny",
    (
        Slot("blocks.0", "attn", macs=7, elements=4),
        Slot("blocks.0", "ff", macs=11, elements=4),
        Slot("blocks.1", "attn", macs=7, elements=4),
        Slot("blocks.1", "proj", "out", macs=5, elements=8),
        Slot("blocks.1", "out", macs=11, elements=4),
    ),
    constant_macs=3,
)
COLUMNS = len(LAYOUT.components) + 1


def outputs(seed: int = 0) -> np.ndarray:
    """``(slots + 1, steps, elements)``: smooth curves with some noise, as outputs of a denoising run are."""
    rng = np.random.default_rng(seed)
    time = np.linspace(0, 1, STEPS)[None, :, None]
    rows = (len(LAYOUT) + 1, 1, ELEMENTS)
    curves = rng.normal(size=rows) + rng.normal(size=rows) * time + rng.normal(size=rows) * time**2
    return curves + 0.02 * rng.normal(size=(len(LAYOUT) + 1, STEPS, ELEMENTS))


def drift_of(x: np.ndarray) -> Drift:
    moved = ((x[:, :, None] - x[:, None]) ** 2).mean(axis=-1)
    return Drift.from_moments(tuple(slot.name for slot in LAYOUT.slots), moved, (x**2).mean(axis=-1))


def forecasts(x: np.ndarray, groups: np.ndarray = LAYOUT.component_index) -> Forecasts:
    return Forecasts(drift_of(x), groups)


class TestWeights:
    def test_are_those_of_least_squares_on_the_outputs(self) -> None:
        x = outputs()
        found = forecasts(x, np.arange(len(LAYOUT)))
        for row in range(len(LAYOUT) + 1):
            for step, last, before in ((4, 3, 2), (7, 5, 2), (8, 6, 5)):
                own, sources = x[row, step], x[row, [last, before]].T
                ridge = np.sqrt(1e-4 * (sources**2).sum() / 2) * np.eye(2)
                system = np.concatenate([sources, ridge])
                beyond_reuse = np.concatenate([own - sources[:, 0], np.zeros(2)])
                expected = np.array([1.0, 0.0]) + np.linalg.lstsq(system, beyond_reuse, rcond=None)[0]
                np.testing.assert_allclose(found.weights[row, step, last, before], expected, atol=2e-4)

    def test_slots_of_a_group_share_them(self) -> None:
        found = forecasts(outputs())
        assert found.weights.shape == (COLUMNS, STEPS, STEPS, STEPS, 2)
        assert found.group.tolist() == [0, 1, 0, 2, 3, 4]

    @pytest.mark.parametrize("level", range(len(DAMPING)))
    def test_errors_are_those_on_the_outputs(self, level: int) -> None:
        x = outputs(1)
        found = forecasts(x)
        errors = found.expected_errors()

        def missed(row: int, step: int, last: int, before: int) -> float:
            w1, w0 = damped(found.weights[found.group[row], step, last, before], level)
            off = ((x[row, step] - w1 * x[row, last] - w0 * x[row, before]) ** 2).mean()
            return float(off / (((x[row, step] ** 2).mean() + (x[row, last] ** 2).mean()) / 2))

        output = len(LAYOUT)
        for uses in ((5, 4, 2), (8, 6, 5), (6, 3, 1)):
            of_slots = np.array([missed(row, *uses) for row in range(output)])
            assert errors[level, output, *uses] == pytest.approx(missed(output, *uses), rel=1e-3)
            # Slots keep their proportions, and have the output's error in the mean.
            expected = of_slots * missed(output, *uses) / of_slots.mean()
            assert errors[level, np.arange(output), *uses] == pytest.approx(expected, rel=1e-3)

    def test_an_older_drift_tells_of_the_output_by_its_slots(self) -> None:
        found = forecasts(outputs(3)[:-1])
        assert np.isfinite(found.weights).all()
        errors = found.expected_errors()
        assert errors.shape[1:] == (len(LAYOUT) + 1, STEPS, STEPS, STEPS)
        drift = drift_of(outputs(3)[:-1]).distance[:, 6, 4]
        assert errors[0, np.arange(len(LAYOUT)), 6, 4, 1] == pytest.approx(drift, rel=1e-4)
        assert errors[0, -1, 6, 4, 1] == pytest.approx(drift.mean(), rel=1e-4)


class TestSchedule:
    def test_what_is_computed_and_used_is_that_of_a_run_by_hand(self) -> None:
        """Against a slow walk over the steps, for random genes."""
        rng = np.random.default_rng(5)
        found = forecasts(outputs())
        for _ in range(30):
            compute = rng.random((STEPS, len(LAYOUT))) < 0.4
            skip = rng.random(STEPS) < 0.3
            levels = rng.integers(0, len(DAMPING), (STEPS, COLUMNS))
            schedule = Schedule(LAYOUT, compute, skip, levels, found)
            reader = LAYOUT.reader_index
            history: list[list[int]] = [[] for _ in range(len(LAYOUT) + 1)]
            for step in range(STEPS):
                skipped = bool(skip[step]) and step > 0
                assert schedule.skip[step] == skipped
                for slot in range(len(LAYOUT)):
                    read = not skipped and (reader[slot] < 0 or schedule.effective[step, reader[slot]])
                    used = read and not schedule.effective[step, slot]
                    assert schedule.used[step, slot] == used
                    level = levels[step, LAYOUT.component_index[slot]] if used and len(history[slot]) > 1 else 0
                    self._check_use(schedule, found, step, slot, level, history[slot])
                self._check_use(
                    schedule, found, step, -1, levels[step, -1] if skipped and len(history[-1]) > 1 else 0, history[-1]
                )
                for slot in np.flatnonzero(schedule.effective[step]):
                    history[slot].append(step)
                if not skipped:
                    history[-1].append(step)

    @staticmethod
    def _check_use(schedule: Schedule, found: Forecasts, step: int, row: int, level: int, computed: list[int]) -> None:
        assert schedule.forecast[step, row] == (level > 0)
        expected = (1.0, 0.0)
        if level:
            before, last = computed[-2:]
            expected = damped(found.weights[found.group[row], step, last, before], int(level))
        np.testing.assert_allclose(schedule.coefficients[step, row], expected, atol=1e-6)

    @given(st.data())
    def test_the_genome_and_the_pickle_read_back(self, data: st.DataObject) -> None:
        bits = st.lists(st.booleans(), min_size=STEPS, max_size=STEPS)
        rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
        found = forecasts(outputs())
        skip = data.draw(bits)
        levels = rng.integers(0, data.draw(st.integers(1, len(DAMPING))), (STEPS, COLUMNS))
        schedule = Schedule(LAYOUT, rng.random((STEPS, len(LAYOUT))) < 0.5, skip, levels, found)
        again = Schedule.from_genome(LAYOUT, STEPS, schedule.to_genome(), found)
        assert again == schedule
        assert hash(again) == hash(schedule)
        assert again.to_genome() == schedule.to_genome()
        maker, arguments = schedule.__reduce__()
        assert maker(*arguments) == schedule
        assert schedule.is_plain == ("/" not in schedule.to_genome())

    def test_genes_without_effect_do_not_tell_schedules_apart(self) -> None:
        found = forecasts(outputs())
        compute = np.ones((STEPS, len(LAYOUT)), dtype=bool)
        levels = np.full((STEPS, COLUMNS), 3)
        assert Schedule(LAYOUT, compute, None, levels, found) == Schedule.all_compute(LAYOUT, STEPS)
        compute[1] = False  # from one output alone nothing is forecast
        assert Schedule(LAYOUT, compute, None, levels, found) == Schedule(LAYOUT, compute)
        skip = np.zeros(STEPS, dtype=bool)
        skip[4] = True
        bare = compute.copy()
        bare[4] = False
        assert Schedule(LAYOUT, compute, skip) == Schedule(LAYOUT, bare, skip)
        assert Schedule(LAYOUT, bare, skip) != Schedule(LAYOUT, bare)

    def test_a_skipped_step_costs_nothing(self) -> None:
        compute = np.ones((STEPS, len(LAYOUT)), dtype=bool)
        skip = np.arange(STEPS) % 3 == 2
        schedule = Schedule(LAYOUT, compute, skip)
        assert schedule.macs == 6 * LAYOUT.step_macs
        assert schedule.mac_speedup == pytest.approx(1.5)

    def test_outputs_are_held_until_their_last_reader(self) -> None:
        compute = np.zeros((5, len(LAYOUT)), dtype=bool)
        compute[[0, 1, 4]] = True
        levels = np.zeros((5, COLUMNS), dtype=int)
        levels[3, 0] = 2  # attn
        schedule = Schedule(LAYOUT, compute, None, levels, np.full((5, len(LAYOUT) + 1, 2), [1.5, -0.5]))
        assert schedule.last_read[0].tolist() == [3, -1, 3, -1, -1, -1]
        assert schedule.last_read[1].tolist() == [3, 3, 3, -1, 3, -1]
        assert schedule.cache_elements == 4 * 2 * 2 + 4 * 2

    def test_wrong_genes_are_named(self) -> None:
        compute = np.ones((STEPS, len(LAYOUT)), dtype=bool)
        compute[2:] = False
        levels = np.ones((STEPS, COLUMNS))
        with pytest.raises(ScheduleError, match="needs the weights"):
            Schedule(LAYOUT, compute, None, levels)
        with pytest.raises(ScheduleError, match="levels of damping have the shape"):
            Schedule(LAYOUT, compute, None, levels + 3)
        with pytest.raises(ScheduleError, match="skipped steps have the shape"):
            Schedule(LAYOUT, compute, [True])
        with pytest.raises(ScheduleError, match="weights have the shape"):
            Schedule(LAYOUT, compute, None, levels, np.zeros((1, 1, 2)))
        weights = np.random.default_rng(0).normal(size=(STEPS, len(LAYOUT) + 1, 2))
        with pytest.raises(ScheduleError, match="other weights than another slot of its component"):
            Schedule(LAYOUT, compute, None, levels, weights)
        genome = Schedule(LAYOUT, compute, None, levels, forecasts(outputs())).to_genome()
        with pytest.raises(ScheduleError, match="digits of damping"):
            Schedule.from_genome(LAYOUT, STEPS, genome[:-1] + "9", forecasts(outputs()))

    def test_moves_to_another_step_count_with_weights_of_that_count(self) -> None:
        compute = np.zeros((4, len(LAYOUT)), dtype=bool)
        compute[:2] = True
        given_weights = np.tile([1.4, -0.4], (4, len(LAYOUT) + 1, 1))
        schedule = Schedule(LAYOUT, compute, None, np.full((4, COLUMNS), 3), given_weights)
        assert schedule.resample(STEPS).is_plain
        assert schedule.resample(STEPS, forecasts(outputs())).damping.any()


def test_sources_are_the_last_two_computed_steps() -> None:
    last, before = forecast_sources(np.array([True, False, True, True, False]))
    assert last.tolist() == [-1, 0, 0, 2, 3]
    assert before.tolist() == [-1, -1, -1, 0, 2]
