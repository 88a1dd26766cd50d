"""Searches whose schedules forecast outputs and skip steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from ecad_automl.schedules.forecast import Forecasts
from storage import Store, check_database
from studies import attributes
from studies.config import SearchConfig
from studies.cost import mac_cost
from studies.forecast_seeds import ForecastSeeds
from studies.seeds import first_schedules
from tests.studies.conftest import STEPS, Bench, small_drift, small_layout
from tests.studies.test_search import by_generation


def genomes(bench: Bench, study: str = "s") -> list[str]:
    return [str(trial.user_attrs[attributes.GENOME]) for trial in bench.complete(study)]


def test_seeds_skip_and_forecast_and_reuse_as_published_only_where_asked_for() -> None:
    layout, drift = small_layout(), small_drift(small_layout())
    forecasts = Forecasts(drift, layout.component_index)
    seeds, cost = ForecastSeeds(forecasts, layout), mac_cost(layout)
    found = first_schedules(layout, drift, SearchConfig(), cost, None, seeds)
    kinds = {name.split("-")[0]: schedule for name, schedule in reversed(found.items())}
    assert set(kinds) == {"uncached", "skip", "forecast"}
    assert kinds["skip"].skip.any()
    assert kinds["forecast"].forecast.any() and not kinds["forecast"].skip.any()
    assert len(set(found.values())) == len(found)
    asked = first_schedules(layout, drift, SearchConfig(heuristics="fora"), cost, None, seeds)
    assert {name.split("-")[0] for name in asked} == {*kinds, "fora"}
    reusing = first_schedules(layout, drift, SearchConfig(), cost)
    assert {name.split("-")[0] for name in reusing} == {"uncached", "fora", "drift"}
    assert all(schedule.is_plain for schedule in reusing.values())


def test_a_search_breeds_all_that_there_is_and_reads_its_schedules_again(bench_in_file: Bench) -> None:
    bench = bench_in_file
    bench.run(use="forecast", evaluations=60, race=False)
    with Store.open(bench.database, read_only=True) as store:
        read = store.genomes("s")
        schedules = [read.schedule(genome) for genome in genomes(bench)]
    bred = [trial for trial in bench.complete() if trial.user_attrs[attributes.ORIGIN] == "bred"]
    assert len(schedules) == 60
    assert [schedule.to_genome() for schedule in schedules] == genomes(bench)
    assert any("/" in trial.user_attrs[attributes.GENOME] for trial in bred)
    for trial, schedule in zip(bench.complete(), schedules, strict=True):
        assert trial.params["skipped steps"] == schedule.skip.mean()
        assert (trial.params["forecast"] > 0) == bool(schedule.forecast.any())
        assert np.isclose(trial.params["forecast"], schedule.forecast.sum() / max(schedule.used.sum(), 1))
        assert np.isclose(trial.values[1], schedule.gmacs)
    assert any(trial.params["damping output"] > 0 for trial in bred)
    assert not [found for found in check_database(bench.database).findings if found.kind != "baseline"]


def test_a_resumed_search_proposes_what_an_uninterrupted_one_would_have(bench: Bench) -> None:
    bench.run(study="whole", use="forecast", evaluations=46)
    for budget in (8, 29, 46):
        bench.run(study="parts", use="forecast", evaluations=budget)
    assert by_generation(bench.complete("parts")) == by_generation(bench.complete("whole"))


def test_a_search_of_reuse_has_neither_forecasts_nor_their_parameters(bench: Bench) -> None:
    bench.run(evaluations=30)
    assert not any("/" in genome for genome in genomes(bench))
    assert not any("damping" in name or "skip" in name for trial in bench.complete() for name in trial.params)


def test_workers_need_no_drift(bench: Bench) -> None:
    """Schedules that travel bring their weights."""
    import pickle

    asked: list[Any] = []
    bench.run(bench.evaluator(before=asked.append), use="forecast", evaluations=20)
    assert [pickle.loads(pickle.dumps(each)) for each in asked] == asked
    assert any(not each.is_plain and each.steps == STEPS for each in asked)


def test_a_search_of_whole_steps_takes_no_slot_from_the_cache(bench: Bench) -> None:
    asked: list[Any] = []
    bench.run(bench.evaluator(before=asked.append), use="skip", evaluations=30)
    assert all(each.computes_whole_steps for each in asked)
    assert any(each.skip.any() for each in asked)
    assert [trial for trial in bench.complete() if trial.user_attrs[attributes.ORIGIN] == "bred"]
