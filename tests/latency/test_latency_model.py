from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecad_automl.errors import EvaluationError, StorageError
from ecad_automl.latency import calibrate
from ecad_automl.latency.calibrate import calibrate_latency, random_schedules
from ecad_automl.latency.latency_model import LatencyModel, fit_latency, latency_terms, term_names
from ecad_automl.latency.timing import Clock
from ecad_automl.schedules.guidance import BOTH, NONE
from ecad_automl.schedules.layout import Layout, Slot
from ecad_automl.schedules.schedule import Schedule

STEPS = 8


def layout(transformer: str = "T") -> Layout:
    """Two lists of blocks; in the second ``mlp`` is read by ``out`` alone, and the last ``out`` has twice the MACs."""
    double = [Slot(f"double.{block}", name, None, 10) for block in range(3) for name in ("attn", "ff")]
    single = [
        slot
        for block in range(2)
        for slot in (Slot(f"single.{block}", "mlp", "out", 5), Slot(f"single.{block}", "out", None, 10 * (block + 1)))
    ]
    return Layout(transformer, (*double, *single), 7)


def counted(schedule: Schedule) -> dict[str, float]:
    """The terms by their definition, one slot at a time."""
    found = dict.fromkeys(term_names(schedule.layout), 0.0)
    slots = schedule.layout.slots
    for row in schedule.effective:
        found["step"] += 1
        if not row.any():
            continue
        found["active step"] += 1
        computed = {slot.name for slot, bit in zip(slots, row, strict=True) if bit}
        for block in schedule.layout.blocks:
            mine = [slot for slot in slots if slot.block == block]
            active = any(slot.name in computed for slot in mine)
            group = block.split(".")[0]
            found[f"{'active' if active else 'reused'} block of {group}"] += 1
            for slot in mine if active else ():
                kind = f"{group}.{slot.component}"
                if slot.name in computed:
                    mean = 15 if kind == "single.out" else slot.macs
                    found[f"computed {kind}"] += slot.macs / mean
                elif slot.reader is None or f"{block}.{slot.reader}" in computed:
                    found[f"reused {kind}"] += 1
    return found


def true_model(seed: int = 0) -> LatencyModel:
    times = np.random.default_rng(seed).uniform(0.001, 0.02, len(term_names(layout())))
    return LatencyModel(layout(), tuple(times), 0.0, 0, 0.5, alone=0.6)


def seconds(model: LatencyModel, *schedules: Schedule) -> Any:
    """As predicted."""
    actions = [(each.effective, each.skip, each.forecast[:, :-1], each.guidance.alone) for each in schedules]
    return model.predict(*map(np.stack, zip(*actions, strict=True)))


def changed(schedule: Schedule, **changes: Any) -> Schedule:
    """The same with other actions; forecasts by the line through the last two outputs."""
    rows = len(schedule.layout) + 1
    weights = np.tile([2.0, -1.0], (schedule.steps, rows, 1))
    own = {"skip": schedule.skip, "damping": schedule.damping, "guidance": schedule.guidance.actions}
    return Schedule(
        schedule.layout, schedule.compute, weights=weights, guidance_weights=weights[:, 0], **{**own, **changes}
    )


@given(st.integers(0, 2**32))
def test_terms_are_what_a_run_does(seed: int) -> None:
    schedules = random_schedules(layout(), STEPS, 7, seed=seed)
    terms = latency_terms(layout(), np.stack([schedule.compute for schedule in schedules]))
    for schedule, row in zip(schedules, terms, strict=True):
        assert dict(zip(term_names(layout()), row, strict=True)) == pytest.approx(counted(schedule))


def test_a_skipped_step_takes_no_time() -> None:
    model = true_model()
    skip = np.arange(STEPS) % 3 == 2
    skipping = changed(random_schedules(layout(), STEPS, 2, seed=3)[1], skip=skip, damping=np.full((STEPS, 5), 2))
    shorter = Schedule(layout(), skipping.effective[~skip])
    assert seconds(model, skipping) == pytest.approx(seconds(model, shorter))


def test_forecasts_are_counted_one_by_one() -> None:
    model, schedule = true_model(), changed(random_schedules(layout(), STEPS, 6, seed=3)[5], damping=DAMPED)
    assert schedule.forecast[:, :-1].any()
    before, after = seconds(model, changed(schedule, damping=None), schedule)
    assert after - before == pytest.approx(schedule.forecast[:, :-1].sum() * model.coefficients[-1])


DAMPED = np.ones((STEPS, 5), dtype=int)


@given(st.integers(0, 2**32))
def test_what_does_less_is_never_dearer(seed: int) -> None:
    rng = np.random.default_rng(seed)
    model = true_model(int(rng.integers(100)))
    schedule = random_schedules(layout(), STEPS, 7, seed=seed)[rng.integers(7)]
    actions = rng.integers(0, NONE + 1, STEPS) * (rng.random(STEPS) < 0.5)
    actions[0] = BOTH
    more = changed(schedule, damping=rng.integers(0, 2, (STEPS, 5)), guidance=actions)
    step = int(rng.integers(1, STEPS))
    here = np.arange(STEPS) == step
    without_branch = changed(more, guidance=np.where(here, NONE, actions))
    reusing = changed(more, damping=np.where(here[:, None], 0, more.damping))
    skipping = changed(more, skip=here)
    least = min(seconds(model, more)[0], seconds(model, changed(more, guidance=np.where(here, BOTH, actions)))[0])
    assert seconds(model, without_branch)[0] <= least + 1e-9
    assert seconds(model, reusing)[0] <= seconds(model, more)[0] + 1e-9
    assert seconds(model, skipping)[0] <= seconds(model, more)[0] + 1e-9


def test_a_run_of_one_branch_takes_the_share_of_a_run_of_both() -> None:
    model, schedule = true_model(), random_schedules(layout(), STEPS, 5, seed=1)[4]
    alone = changed(schedule, guidance=np.full(STEPS, NONE))
    assert seconds(model, alone) == pytest.approx(0.6 * seconds(model, schedule))


def test_the_share_of_a_branch_is_found_from_runs_that_leave_it_out() -> None:
    truth = true_model()
    schedules = random_schedules(layout(), STEPS, 60, seed=1)
    assert fit_latency(schedules, seconds(truth, *schedules), 1.0).alone == 1.0
    schedules[-1] = changed(schedules[0], guidance=np.full(STEPS, NONE))
    schedules[-2] = changed(schedules[0], guidance=[BOTH, NONE] * (STEPS // 2))
    fitted = fit_latency(schedules, seconds(truth, *schedules), 1.0)
    assert fitted.alone == pytest.approx(0.6, rel=1e-3)
    assert fitted.coefficients[-1] == pytest.approx(truth.coefficients[-1], rel=0.02)
    # Half a batch is never taken to be dearer than a whole one, however disturbed its times are.
    times = seconds(truth, *schedules)
    times[-2:] *= 3
    assert fit_latency(schedules, times, 1.0).alone == 1.0


def test_a_fit_predicts_schedules_that_it_never_saw() -> None:
    truth = true_model()
    seen = random_schedules(layout(), STEPS, 60, seed=1)
    fitted = fit_latency(seen, seconds(truth, *seen), 1.0)
    unseen = random_schedules(layout(), STEPS, 50, seed=2)
    assert seconds(fitted, *unseen) == pytest.approx(seconds(truth, *unseen), rel=1e-4)
    assert fitted.error < 1e-4
    assert fitted.samples == 60
    assert min(fitted.coefficients) >= 0
    assert fitted.slot_prices == pytest.approx(truth.slot_prices, rel=0.02)


def test_one_disturbed_time_in_ten_changes_little_and_the_error_is_that_of_the_noise() -> None:
    truth = true_model()
    seen = random_schedules(layout(), STEPS, 80, seed=1)
    exact = seconds(truth, *seen)
    rng = np.random.default_rng(0)
    noise = np.exp(0.02 * rng.normal(size=80)) * np.where(np.arange(80) % 10 == 3, 2.0, 1.0)
    fitted = fit_latency(seen, exact * noise, 1.0)
    assert seconds(fitted, *seen) == pytest.approx(exact, rel=0.05)
    assert 0.005 < fitted.error < 0.04


def test_the_price_of_a_slot_is_what_one_more_computation_takes() -> None:
    model = true_model()
    compute = np.zeros((STEPS, len(layout())), bool)
    compute[3, ::2] = True  # one slot of each block, so that all blocks are active
    for slot in (1, 3, 5):
        more = compute.copy()
        more[3, slot] = True
        before, after = model.predict(np.stack([compute, more]))
        assert model.slot_prices[slot] == pytest.approx(max(after - before, 1e-3 * model.slot_prices.mean()), rel=0.01)
    assert (model.slot_prices > 0).all()


def test_uncached_runs_take_time_by_their_steps() -> None:
    schedules = random_schedules(layout(), STEPS, 40)
    truth = true_model()
    times = seconds(truth, *schedules)
    # The plain pipeline is a little faster than one under a schedule that computes everything.
    assert fit_latency(schedules, times, 0.9 * times[0]).uncached(4) == pytest.approx(0.9 * times[0] / 2)


def test_the_first_step_always_counts_as_computed() -> None:
    model = true_model()
    nothing = np.zeros((1, 3, len(layout())), bool)
    one = np.ones((1, 1, len(layout())), bool)
    assert model.predict(nothing)[0] == pytest.approx(model.predict(one)[0] + 2 * model.coefficients[0])


def test_a_model_is_kept_as_json_and_refused_elsewhere() -> None:
    model = LatencyModel(layout(), true_model().coefficients, 0.03, 40, 0.7, {"device": "cpu"}, 0.6)
    kept = json.loads(json.dumps(model.to_dict()))
    read = LatencyModel.from_dict(layout(), kept)
    assert (read.coefficients, read.error, read.samples) == (model.coefficients, 0.03, 40)
    assert (read.uncached_step, read.about, read.alone) == (0.7, model.about, 0.6)
    other = Layout("T", layout().slots[:6])
    for target, data in [
        (other, kept),
        (layout(), {**kept, "schema": "x"}),
        (layout(), {**kept, "seconds": []}),
        (layout(), {**kept, "alone": 1.5}),
        (layout(), {**kept, "seconds": dict.fromkeys(kept["seconds"], -1.0)}),
        (layout(), {}),
    ]:
        with pytest.raises(StorageError, match="calibrate it anew"):
            LatencyModel.from_dict(target, data)


def test_a_model_of_before_forecasts_still_reads() -> None:
    model = true_model()
    kept = {**model.to_dict(), "schema": "ecad-automl/latency/1"}
    del kept["alone"], kept["seconds"]["forecast"]
    read = LatencyModel.from_dict(layout(), kept)
    schedule = random_schedules(layout(), STEPS, 6, seed=3)[5]
    forecasting = changed(schedule, damping=DAMPED, guidance=[BOTH, NONE] * (STEPS // 2))
    plain = changed(schedule, damping=None)
    assert seconds(read, forecasting) == pytest.approx(seconds(model, plain))
    assert seconds(read, plain) == pytest.approx(seconds(model, plain))


def test_too_few_or_senseless_times_are_refused() -> None:
    schedules = random_schedules(layout(), STEPS, 20)
    with pytest.raises(EvaluationError, match="at least 12"):
        fit_latency(schedules[:11], np.ones(11), 1.0)
    with pytest.raises(EvaluationError, match="must be positive"):
        fit_latency(schedules, np.zeros(20), 1.0)


def test_random_schedules_hold_both_extremes_and_all_shares() -> None:
    drawn = random_schedules(layout(), STEPS, 40, seed=5)
    assert len(drawn) == 40
    assert drawn == random_schedules(layout(), STEPS, 50, seed=5)[:40]
    assert drawn[0].effective.all()
    assert not drawn[1].effective[1:].any()
    shares = [schedule.effective[1:].mean() for schedule in drawn]
    assert min(shares[2:]) < 0.25 < 0.75 < max(shares[2:])
    idle = [bool((~schedule.effective.any(axis=1)).any()) for schedule in drawn]
    assert 5 < sum(schedule.forecast.any() for schedule in drawn) < 20
    assert 5 < sum(idle) < 35  # whole steps are reused in some, in others not


class SlowingClock:
    """Every mark takes longer than the one before: a machine that slows down all the time."""

    def __init__(self, rate: float) -> None:
        self.time, self.tick, self.rate = 0.0, 1.0, rate

    def mark(self) -> float:
        self.time += self.tick
        self.tick *= self.rate
        return self.time


@pytest.mark.parametrize("rate", [1.0, 1.0003])
def test_calibration_times_every_schedule_against_its_neighbors(tiny_model: Any, rate: float) -> None:
    ticks = SlowingClock(rate)
    clock = Clock(lambda: ticks.time, ticks.mark, lambda begin, end: end - begin, lambda: None)
    told: list[tuple[int, int]] = []
    model = calibrate_latency(tiny_model, 12, progress=lambda *done: told.append(done), clock=clock)
    # A forward is one tick whatever it does, so every schedule takes as long as the uncached run.
    assert model.about["ratios"] == [pytest.approx([1.0] * 12, rel=1e-4)]
    assert model.uncached(4) == pytest.approx(np.median(model.about["uncached_seconds"]), rel=1e-3)
    assert told == [(done, 36) for done in range(12)]
    assert len(model.about["uncached_seconds"]) == 13
    assert model.about["batch_size"] == 1


def test_one_branch_is_timed_where_it_can_be_computed_alone(
    tiny_model: Any, ticking: Callable[[], Clock], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Schedule] = []

    def fit(schedules: list[Schedule], *times: Any) -> LatencyModel:
        seen[:] = schedules
        return fit_latency(schedules, *times)

    monkeypatch.setattr(calibrate, "fit_latency", fit)
    calibrate_latency(tiny_model, 12, clock=ticking())
    assert [schedule.guidance.is_full for schedule in seen] == [True] * 11 + [False]
    tiny_model.pipe.set_pag_applied_layers = lambda layers: None  # a pipeline that no branch can be left out of
    assert calibrate_latency(tiny_model, 12, clock=ticking()).alone == 1.0
    assert all(schedule.guidance.is_full for schedule in seen)


def test_a_noisy_machine_is_asked_again_and_the_median_counts(tiny_model: Any) -> None:
    rng = np.random.default_rng(0)
    time = 0.0

    def mark() -> float:
        nonlocal time
        time += float(rng.uniform(0.5, 1.5))
        return time

    clock = Clock(lambda: time, mark, lambda begin, end: end - begin, lambda: None)
    model = calibrate_latency(tiny_model, 12, clock=clock)
    assert np.shape(model.about["ratios"]) == (3, 12)
    assert len(model.about["uncached_seconds"]) == 37
    assert model.error > 0.02


def test_calibration_refuses_senseless_numbers(tiny_model: Any, ticking: Callable[[], Clock]) -> None:
    with pytest.raises(EvaluationError, match="needs 12"):
        calibrate_latency(tiny_model, 3, clock=ticking())
    with pytest.raises(EvaluationError, match="batch size is 0"):
        calibrate_latency(tiny_model, 12, batch_size=0, clock=ticking())
