from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ecad_automl.errors import OptionError, StorageError
from ecad_automl.latency.calibrate import random_schedules
from ecad_automl.latency.latency_model import LatencyModel, term_names
from ecad_automl.schedules.genes import Actions, actions_of
from ecad_automl.schedules.guidance import BOTH, NONE
from ecad_automl.schedules.schedule import Schedule
from storage import Store
from studies import attributes
from studies import calibration as latency_room
from studies.calibration import latency_model
from studies.config import LatencySettings, SearchConfig
from studies.cost import Cost, latency_cost, mac_cost, study_front
from studies.seeds import UNCACHED, first_schedules

STEPS = 8

ACTIONS = ("effective", "skip", "damping")


def model_of(layout: Any, seed: int = 0) -> LatencyModel:
    times = np.random.default_rng(seed).uniform(0.0001, 0.001, len(term_names(layout)))
    about = {"device": "cpu", "machine": {"processor": "a processor"}}
    return LatencyModel(layout, tuple(times), 0.02, 40, 0.02, about)


def of_all(cost: Cost, schedules: list[Schedule]) -> Any:
    arrays = [np.stack([getattr(each, name) for each in schedules]) for name in ACTIONS]
    return cost.of_actions(Actions(*arrays, np.stack([each.guidance.actions for each in schedules])))


def test_macs_are_those_of_the_schedule_to_the_last_bit(bench: Any) -> None:
    schedules = random_schedules(bench.layout, STEPS, 30)
    cost = mac_cost(bench.layout)
    assert of_all(cost, schedules).tolist() == list(map(cost.of, schedules)) == [each.gmacs for each in schedules]
    assert cost.of_steps(5) == Schedule.all_compute(bench.layout, 5).gmacs
    assert cost.prices.tolist() == bench.layout.slot_macs.tolist()


def test_skipped_steps_cost_nothing(bench: Any) -> None:
    steps = 6
    skip = np.arange(steps) % 2 == 1
    schedule = Schedule(bench.layout, np.ones((steps, len(bench.layout)), dtype=bool), skip)
    assert of_all(mac_cost(bench.layout), [schedule]).tolist() == [schedule.gmacs]


def test_costs_of_genes_are_those_of_schedules_with_one_guidance_branch(bench: Any) -> None:
    rng = np.random.default_rng(1)
    weights = np.tile([2.0, -1.0], (STEPS, len(bench.layout) + 1, 1))
    made = [
        Schedule(
            *(bench.layout, rng.random((STEPS, len(bench.layout))) < 0.6, rng.random(STEPS) < 0.3, None, weights),
            guidance=np.append(BOTH, rng.integers(0, NONE + 1, STEPS - 1)),
            guidance_weights=weights[:, 0],
        )
        for _ in range(20)
    ]
    genes = np.stack([each.guided_genes for each in made])
    actions = actions_of(genes, len(bench.layout), guided=True)
    for cost in (mac_cost(bench.layout), latency_cost(model_of(bench.layout), images=1)):
        np.testing.assert_allclose(cost.of_actions(actions), list(map(cost.of, made)))
        whole = cost.of_steps(STEPS)
        assert all(cost.of(each) < whole for each in made if each.guidance.alone.any())


def test_latency_of_bits_is_that_of_the_schedules(bench: Any) -> None:
    cost = latency_cost(model_of(bench.layout), images=1)
    rng = np.random.default_rng(0)
    weights = np.tile([2.0, -1.0], (STEPS, len(bench.layout) + 1, 1))
    levels = rng.integers(0, 3, (20, STEPS, len(bench.layout.components) + 1))
    schedules = [
        Schedule(bench.layout, each.compute, rng.random(STEPS) < 0.3, damping, weights)
        for each, damping in zip(random_schedules(bench.layout, STEPS, 20), levels, strict=True)
    ]
    assert of_all(cost, schedules) == pytest.approx([cost.of(each) for each in schedules])
    reused = [Schedule(bench.layout, each.effective, each.skip) for each in schedules]
    assert (of_all(cost, schedules) > of_all(cost, reused)).any()


def test_latency_is_told_in_milliseconds_for_one_image(bench: Any) -> None:
    model = model_of(bench.layout)
    (schedule,) = random_schedules(bench.layout, STEPS, 1)
    cost = latency_cost(model, images=4)
    assert cost.of(schedule) == pytest.approx(1000 * model.predict(schedule.effective[None])[0] / 4)
    assert cost.of_steps(3) == pytest.approx(1000 * 3 * 0.02 / 4)


@pytest.fixture
def cost(bench: Any) -> Cost:
    return latency_cost(model_of(bench.layout), 1)


def test_a_search_minimizes_latency_and_keeps_it_beside_the_macs(bench: Any, cost: Cost) -> None:
    status = bench.run(cost=cost)
    assert status.evaluations == 60
    for trial in bench.complete():
        schedule = Schedule.from_genome(bench.layout, STEPS, trial.user_attrs[attributes.GENOME])
        assert trial.values[1] == pytest.approx(cost.of(schedule))
        assert trial.user_attrs[attributes.SPEEDUP] == pytest.approx(schedule.mac_speedup, abs=1e-3)
        assert trial.user_attrs[attributes.LATENCY_SPEEDUP] == pytest.approx(
            cost.of_steps(STEPS) / trial.values[1], abs=1e-3
        )
    assert bench.study().metric_names == ["reward", "latency_ms"]
    with Store.open(bench.database) as store:
        records = store.evaluations("s")
        baseline = store.baselines("s")[UNCACHED]
    values = {trial.user_attrs[attributes.GENOME]: trial.values[1] for trial in bench.complete()}
    assert {record.genome: record.latency_ms for record in records} == pytest.approx(values)
    assert baseline.latency_ms == pytest.approx(cost.of_steps(STEPS))
    by_time = study_front(records, {"cost": {}})
    assert [record.latency_ms for record in by_time] == sorted(record.latency_ms or 0 for record in by_time)


def test_an_interrupted_latency_search_ends_as_if_it_had_not_been(bench: Any, cost: Cost, tmp_path: Path) -> None:
    whole = type(bench)(tmp_path / "whole.db")
    whole.run(cost=cost, evaluations=48)
    for budget in (20, 31, 48):
        bench.run(cost=cost, evaluations=budget)
    genomes = [{t.user_attrs[attributes.GENOME] for t in found.complete()} for found in (whole, bench)]
    assert genomes[0] == genomes[1]


def test_seeds_follow_the_prices(bench: Any) -> None:
    macs = mac_cost(bench.layout)
    upside_down = Cost("latency_ms", 1.0 / macs.prices, macs.of, macs.of_actions, macs.of_steps)
    drift = bench.evaluator().drift
    config = SearchConfig(step_seeds=0, drift_seeds=10)
    found = [
        {name: s for name, s in first_schedules(bench.layout, drift, config, one).items() if "drift" in name}
        for one in (macs, upside_down)
    ]
    assert found[0]
    assert set(found[0].values()) != set(found[1].values())


@pytest.fixture
def calibrated(bench: Any, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What each calibration was asked for; it takes no time here."""
    asked: list[dict[str, Any]] = []

    def calibrate(_model: Any, count: int, *, progress: Callable[[int, int], object], **settings: Any) -> LatencyModel:
        asked.append({"count": count, **settings})
        for done in range(count):
            progress(done, count)
        return model_of(settings["layout"])

    monkeypatch.setattr(latency_room, "calibrate_latency", calibrate)
    monkeypatch.setattr(latency_room, "machine", lambda: {"processor": "a processor"})
    return asked


def loaded() -> Any:
    import torch

    return SimpleNamespace(pipe=SimpleNamespace(transformer=torch.nn.Linear(1, 1), device="cpu"))


def test_a_study_is_calibrated_once_and_holds_to_its_model(
    bench: Any, calibrated: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = LatencySettings(batch_size=2, schedules=20)

    def run() -> LatencyModel:
        with Store.open(bench.database) as store:
            return latency_model(loaded(), bench.layout, settings, store, "s", bench.observer)

    first = run()
    assert [(one["count"], one["batch_size"]) for one in calibrated] == [(20, 2)]
    assert [status.text for status in bench.observer.statuses] == [
        f"timing random schedules, {done} of at most 20 done" for done in (0, 5, 10, 15)
    ]
    assert "40 schedules timed on a processor, median error 2.0%" in bench.observer.messages[0]
    again = run()
    assert len(calibrated) == 1
    assert again.coefficients == first.coefficients
    assert not any("goes on with" in message for message in bench.observer.messages)

    monkeypatch.setattr(latency_room, "machine", lambda: {"processor": "another"})
    run()
    assert bench.observer.messages[-1] == "This is another; the study goes on with the latencies of a processor."


@pytest.mark.parametrize("data", [b"{", b"\xff", b"{}", json.dumps({"schema": "ecad-automl/latency/1"}).encode()])
def test_a_damaged_model_is_one_clear_error(bench: Any, calibrated: list[Any], data: bytes) -> None:
    with Store.open(bench.database) as store:
        store.save_calibration("s", "latency", data)
        with pytest.raises(StorageError, match="latency model"):
            latency_model(loaded(), bench.layout, LatencySettings(), store, "s", bench.observer)
    assert calibrated == []


def test_senseless_latency_settings_are_refused() -> None:
    with pytest.raises(OptionError, match="batch size is 0"):
        LatencySettings(batch_size=0)
    with pytest.raises(OptionError, match="needs 12"):
        LatencySettings(schedules=5)
