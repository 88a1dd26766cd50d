from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecad_automl.errors import ScheduleError, StorageError
from ecad_automl.schedules.forecast import Forecasts
from ecad_automl.schedules.layout import Layout, Slot
from ecad_automl.schedules.schedule import Schedule
from storage import Store
from studies import attributes
from studies.cost import mac_cost
from studies.forecast_seeds import ForecastSeeds
from studies.warm_start import Source, WarmStart, has_started
from tests.studies.conftest import STEPS, small_drift, small_layout
from tests.studies.test_search import by_generation


def random_schedules(count: int, steps: int = STEPS, layout: Layout | None = None, seed: int = 0) -> list[Schedule]:
    layout, rng = layout or small_layout(), np.random.default_rng(seed)
    return [Schedule(layout, rng.random((steps, len(layout))) < share) for share in rng.uniform(0.1, 0.9, count)]


def known(schedules: list[Schedule], name: str = "old", rewards: Any = ()) -> Source:
    evaluated = tuple(schedules) if len(rewards) else ()
    seeds = tuple((f"{name}-{index}", schedule) for index, schedule in enumerate(schedules))
    worst = min(rewards, default=1.0)
    return Source(name, seeds, evaluated, np.array(rewards, dtype=float), uncached=1.0, worst=worst)


def cost() -> Any:
    return mac_cost(small_layout())


def test_at_most_so_many_seeds_are_taken_evenly_over_the_cost() -> None:
    layout = small_layout()
    sparse = []
    for computed in range(1, 60):
        bits = np.zeros((STEPS, len(layout)), dtype=np.bool_)
        bits[1:].flat[:computed] = True
        sparse.append(Schedule(layout, bits))
    seeds = list(WarmStart.from_sources([known(sparse)], cost(), 7).seeds.values())
    costs = np.array(sorted(schedule.gmacs for schedule in seeds))
    every = [schedule.gmacs for schedule in sparse]
    assert len(set(seeds)) == 7
    assert (np.diff(costs) > 0).all()
    assert (costs[0], costs[-1]) == (min(every), max(every))
    assert np.diff(np.log(costs)).std() < 0.1 * np.diff(np.log(costs)).mean()
    # However few of them are evaluated, they lie far apart.
    assert [costs.tolist().index(schedule.gmacs) for schedule in seeds] == [0, 4, 2, 6, 1, 5, 3]
    assert not WarmStart.from_sources([known(sparse)], cost(), 0).seeds


def test_seeds_are_distinct_and_not_those_that_every_study_has() -> None:
    layout = small_layout()
    extremes = [Schedule.all_compute(layout, STEPS), Schedule(layout, np.zeros((STEPS, len(layout))))]
    both = random_schedules(3)
    initial = WarmStart.from_sources(
        [known([*extremes, *both]), known([*both, *random_schedules(2, seed=1)])], cost(), 24
    )
    assert len(initial.seeds) == 5
    assert set(both) < set(initial.seeds.values())
    assert all(origin.startswith("init:old-") for origin in initial.seeds)
    assert initial.sources == ("old", "old")


def test_schedules_of_another_model_are_moved_and_foreign_ones_refused() -> None:
    deep = Layout("Deep", tuple(Slot(f"blocks.{b}", name) for b in range(9) for name in ("attn1", "ff")))
    moved = known(random_schedules(3, steps=20, layout=deep), rewards=[0.0, 0.5, 1.0]).moved(small_layout(), STEPS)
    assert all(schedule.layout == small_layout() and schedule.steps == STEPS for _, schedule in moved.seeds)
    assert [schedule for _, schedule in moved.seeds] == list(moved.evaluated)
    other = Layout("Other", (Slot("blocks.0", "mixer"),))
    with pytest.raises(ScheduleError, match="cannot start from 'old'.*mixer"):
        known(random_schedules(1, layout=other)).moved(small_layout(), STEPS)


def test_rewards_of_every_source_are_measured_by_its_own_scale() -> None:
    some = random_schedules(3)
    drops = np.array([0.0, 0.25, 1.0])
    one = known(some, rewards=1.0 - drops)
    rewards = 50.0 - 700.0 * drops
    other = Source("other", one.seeds, one.evaluated, rewards, uncached=50.0, worst=rewards.min())
    log_drop = WarmStart.from_sources([one, other], cost(), 24).log_drop
    assert log_drop[:3] == pytest.approx(log_drop[3:])
    assert log_drop[0] < log_drop[1] < log_drop[2]
    assert not WarmStart.from_sources([known(some)], cost(), 24).evaluated


def test_it_comes_back_from_the_store(tmp_path: Path) -> None:
    initial = WarmStart.from_sources([known(random_schedules(6), rewards=np.linspace(0, 1, 6))], cost(), 4)
    with Store.open(tmp_path / "s.db") as store:
        assert not WarmStart.load(store, "s", small_layout(), STEPS).seeds
        initial.save(store, "s")
        found = WarmStart.load(store, "s", small_layout(), STEPS)
        assert (found.sources, found.seeds) == (initial.sources, initial.seeds)
        assert found.evaluated == initial.evaluated
        assert len(found.evaluated) == 6
        assert np.array_equal(found.log_drop, initial.log_drop)
        WarmStart().save(store, "t")
        assert not WarmStart.load(store, "t", small_layout(), STEPS).evaluated
        store.save_calibration("s", "init", b"damaged")
        with pytest.raises(StorageError, match="'s' in .* started from cannot be read"):
            WarmStart.load(store, "s", small_layout(), STEPS)


def test_what_an_earlier_version_has_stored_is_read(tmp_path: Path) -> None:
    seeds, buffer = random_schedules(3), io.BytesIO()
    bits = np.packbits(np.array([schedule.effective for schedule in seeds]))
    names = np.array(["init:a", "init:b", "init:c"])
    arrays = {
        "sources": np.array(["old"]),
        "origins": names,
        "seeds": bits,
        "compute": bits,
        "log_drop": np.arange(3.0),
    }
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    with Store.open(tmp_path / "s.db") as store:
        store.save_calibration("s", "init", buffer.getvalue())
        found = WarmStart.load(store, "s", small_layout(), STEPS)
    assert list(found.seeds.values()) == found.evaluated == seeds
    assert found.log_drop.tolist() == [0.0, 1.0, 2.0]


def test_what_sources_have_forecast_is_forecast_by_the_drift_of_the_study_or_reused(tmp_path: Path) -> None:
    layout = small_layout()
    forecasts = Forecasts(small_drift(layout), layout.component_index)
    seed = ForecastSeeds(forecasts, layout).skipping[STEPS // 2]
    with Store.open(tmp_path / "s.db") as store:
        WarmStart.from_sources([known([seed])], cost(), 4).save(store, "s")
        assert list(WarmStart.load(store, "s", layout, STEPS, forecasts).seeds.values()) == [seed]
        assert list(WarmStart.load(store, "s", layout, STEPS).seeds.values()) == [Schedule(layout, seed.effective)]


def save(bench: Any, study: str, initial: WarmStart) -> None:
    with Store.open(bench.database) as store:
        initial.save(store, study)


def test_known_schedules_are_evaluated_first_and_a_resumed_study_goes_on_alike(bench: Any) -> None:
    initial = WarmStart.from_sources([known(random_schedules(20), rewards=-np.linspace(0, 1, 20))], cost(), 5)
    for study in ("whole", "parts"):
        save(bench, study, initial)
    bench.run(study="whole", evaluations=50)
    for budget in (6, 30, 43, 50):
        bench.run(study="parts", evaluations=budget)
    origins = [trial.user_attrs[attributes.ORIGIN] for trial in bench.complete("whole")]
    assert origins[0] == "uncached"
    assert origins[1:6] == list(initial.seeds)
    assert {"fora", "drift"} < {origin.split("-")[0] for origin in origins}
    assert by_generation(bench.complete("parts")) == by_generation(bench.complete("whole"))


def test_evaluations_of_another_study_change_what_is_proposed(bench: Any) -> None:
    evaluated = random_schedules(60)
    compute = np.stack([schedule.effective for schedule in evaluated])
    # They say that only what is reused at the end does harm.
    log_drop = np.log((~compute[:, -2:]).mean(axis=(1, 2)) + 0.03)
    save(bench, "with", WarmStart(evaluated=evaluated, log_drop=log_drop))
    bench.run(study="with", evaluations=40, heuristics="none")
    bench.run(study="without", evaluations=40, heuristics="none")
    with_it, without = by_generation(bench.complete("with")), by_generation(bench.complete("without"))
    assert with_it[0] == without[0]
    assert with_it != without


def test_a_study_has_started_when_it_has_an_uncached_run(bench_in_file: Any) -> None:
    bench = bench_in_file
    assert not has_started(bench.database, "s")
    bench.run(evaluations=6)
    assert has_started(bench.database, "s")
    assert not has_started(bench.database, "other")
    save(bench, "other", WarmStart())
    assert has_started(f"sqlite:///{bench.database}", "other")
