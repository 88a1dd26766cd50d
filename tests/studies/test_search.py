from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from ecad_automl.errors import OptionError, RewardError, StudyError
from ecad_automl.schedules.schedule import Schedule
from storage import Store
from studies import attributes
from studies.breeding import describe
from studies.progress import SearchStatus
from studies.quality import Scale
from studies.schedule_space import schedule_descriptors
from tests.studies.conftest import Bench, DriftEvaluator


def genomes(trials: list[Any]) -> list[str]:
    return [trial.user_attrs[attributes.GENOME] for trial in trials]


def by_generation(trials: list[Any]) -> dict[int, set[str]]:
    found: dict[int, set[str]] = {}
    for trial in trials:
        generation = trial.system_attrs["ScheduleNSGAIISampler:generation"]
        found.setdefault(generation, set()).add(trial.user_attrs[attributes.GENOME])
    return found


@dataclass(frozen=True)
class Searched:
    """A search that nobody writes to any more."""

    bench: Bench
    evaluator: DriftEvaluator
    status: SearchStatus
    trials: list[Any]


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Searched:
    bench = Bench(tmp_path_factory.mktemp("searched") / "study.db", in_file=True)
    evaluator = bench.evaluator()
    status = bench.run(evaluator)
    return Searched(bench, evaluator, status, bench.complete())


def test_a_search_spends_its_budget_and_never_evaluates_a_schedule_twice(searched: Searched) -> None:
    assert searched.status.evaluations == 60
    assert len(searched.trials) == 60
    assert len(set(genomes(searched.trials))) == 60
    assert len(set(searched.evaluator.asked)) == len(searched.evaluator.asked)


def test_trials_carry_readable_parameters_values_and_attributes(searched: Searched) -> None:
    layout = searched.bench.layout
    for trial in searched.trials:
        schedule = Schedule.from_genome(layout, 8, trial.user_attrs[attributes.GENOME])
        assert trial.values[1] == schedule.gmacs
        assert trial.user_attrs[attributes.SPEEDUP] == pytest.approx(schedule.mac_speedup, abs=1e-3)
        assert trial.user_attrs[attributes.ORIGIN]
        assert 8 <= len(trial.params) <= 16
        assert trial.params == pytest.approx(describe(schedule_descriptors(layout, schedule.steps), schedule.effective))
    bred = [trial for trial in searched.trials if trial.user_attrs[attributes.ORIGIN] == "bred"]
    assert bred
    assert all(trial.user_attrs[attributes.OPERATOR] for trial in bred)


def test_the_study_names_its_objectives_and_directions(searched: Searched) -> None:
    study = searched.bench.study()
    assert study.metric_names == ["reward", "gmacs"]
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]


def test_hypervolume_in_the_status_is_that_of_the_trials(searched: Searched) -> None:
    from pymoo.indicators.hv import HV

    values = np.array([trial.values for trial in searched.trials])
    full, floor = values[values[:, 1].argmax()], -0.1  # what the runs of fewer steps have scored
    oracle = HV(ref_point=np.array([1.0, 1.0]))
    span = full[0] - floor
    points = np.stack([(full[0] - values[:, 0]) / span, values[:, 1] / full[1]], axis=1)
    assert searched.status.hypervolume == pytest.approx(oracle(points))
    assert Scale(full[0], floor, full[1]).hypervolume(values[:, 0], values[:, 1]) == pytest.approx(oracle(points))


def test_best_rewards_are_reported_by_speedup(searched: Searched) -> None:
    for speedup, value in searched.status.best.items():
        rewards = [t.values[0] for t in searched.trials if t.user_attrs[attributes.SPEEDUP] >= speedup]
        assert value == pytest.approx(max(rewards))  # the uncached run scores 0 here


def test_a_share_of_each_bred_generation_goes_through_unfiltered(bench: Any) -> None:
    bench.run(evaluations=60, unfiltered=2, min_rank_correlation=-1.0, heuristics="all")
    for generation, wanted in by_generation(bench.complete()).items():
        if generation == 0 or len(wanted) < 6:
            continue
        trials = [t for t in bench.complete() if t.user_attrs[attributes.GENOME] in wanted]
        assert sum(not trial.user_attrs[attributes.FILTERED] for trial in trials) == 2
        assert all(attributes.PREDICTED_REWARD in trial.user_attrs for trial in trials)


def test_without_surrogate_nothing_is_filtered_or_predicted(bench: Any) -> None:
    bench.run(surrogate=False)
    bred = [t for t in bench.complete() if t.user_attrs[attributes.ORIGIN] == "bred"]
    assert bred
    assert not any(t.user_attrs[attributes.FILTERED] or attributes.PREDICTED_REWARD in t.user_attrs for t in bred)


@pytest.mark.slow
def test_the_surrogate_finds_a_better_front_than_none(bench: Any) -> None:
    pairs = [
        (
            bench.run(study=f"with-{seed}", seed=seed, evaluations=70).hypervolume,
            bench.run(study=f"without-{seed}", seed=seed, evaluations=70, surrogate=False).hypervolume,
        )
        for seed in range(2)
    ]
    assert sum(one for one, _ in pairs) > sum(other for _, other in pairs)


def test_generations_leave_their_figures(searched: Searched) -> None:
    with Store.open(searched.bench.database) as store:
        records = store.generations("s")
    assert [record.generation for record in records] == list(range(len(records)))
    volumes = [record.hypervolume for record in records]
    assert volumes == sorted(volumes)
    assert any(record.surrogate_used for record in records)
    assert records[-1].rank_correlation is not None


def test_a_resumed_study_proposes_what_an_uninterrupted_one_would_have(
    searched: Searched, bench_in_file: Bench
) -> None:
    for budget in (6, 20, 33, 47, 60):
        bench_in_file.run(evaluations=budget)
    assert by_generation(bench_in_file.complete()) == by_generation(searched.trials)


def test_ctrl_c_keeps_what_was_evaluated_and_the_next_run_asks_again(searched: Searched, bench: Bench) -> None:
    for stop_at in (3, 9, 17):
        count = 0

        def interrupt(schedule: Schedule) -> None:
            nonlocal count
            count += 1
            if count == stop_at:  # noqa: B023 - called within this round only
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            bench.run(bench.evaluator(interrupt))
        assert not [trial for trial in bench.trials() if trial.state.name == "RUNNING"]
    bench.run()
    assert by_generation(bench.complete()) == by_generation(searched.trials)


def test_nothing_evaluated_before_an_interruption_is_evaluated_again(bench: Any) -> None:
    first = bench.evaluator()
    bench.run(first, evaluations=40)
    second = bench.evaluator()
    bench.run(second, evaluations=60)
    assert not set(first.asked) & set(second.asked)


def test_an_evaluation_that_was_stored_but_not_told_is_not_repeated(searched: Searched, bench_in_file: Bench) -> None:
    """As after a kill between the two writes."""
    bench = bench_in_file
    bench.run(evaluations=40)
    with Store.open(searched.bench.database) as whole, Store.open(bench.database) as store:
        for record in whole.evaluations("s"):
            store.save_evaluation("s", record)
    evaluator = bench.evaluator()
    bench.run(evaluator)
    assert not evaluator.asked


def test_a_candidate_without_a_score_fails_alone(bench: Any) -> None:
    count = 0

    def fail_once(schedule: Schedule) -> None:
        nonlocal count
        count += 1
        if count in (5, 31):
            raise RewardError("The reward 'drift' gave nan for image 0 of 3.")

    status = bench.run(bench.evaluator(fail_once))
    assert status.evaluations == 60
    assert [trial.state.name for trial in bench.trials()].count("FAIL") == 2
    assert sum("gave nan" in message for message in bench.observer.messages) == 2


def test_a_search_without_the_schedulers_response_says_so(bench: Any) -> None:
    evaluator = bench.evaluator()
    evaluator.drift = replace(evaluator.drift, response=None, no_response="OddScheduler cannot be run alone.")
    bench.run(evaluator, evaluations=8)
    assert any(text.endswith("go by: OddScheduler cannot be run alone.") for text in bench.observer.messages)


def test_candidate_after_candidate_without_a_score_stops_the_search(bench: Any) -> None:
    bench.run(evaluations=30)

    def fail(schedule: Schedule) -> None:
        raise RewardError("The reward 'drift' gave nan for image 0 of 3.")

    with pytest.raises(RewardError, match="3 candidates in a row"):
        bench.run(bench.evaluator(fail), evaluations=60)
    assert len(bench.complete()) == 30
    assert bench.run(evaluations=60).evaluations == 60


def test_another_identity_under_the_same_name_is_refused(bench: Any) -> None:
    bench.run(evaluations=30)
    other = bench.evaluator()
    other.prompts = ("a", "b", "another")
    with pytest.raises(StudyError, match="another"):
        bench.run(other, evaluations=40)
    assert not other.asked


def test_a_study_without_seeds_of_ours_still_starts_from_the_extremes(bench: Any) -> None:
    bench.run(evaluations=20, heuristics="none", step_seeds=0, drift_seeds=0)
    origins = [trial.user_attrs[attributes.ORIGIN] for trial in bench.complete()]
    assert origins[:2] == ["uncached", "all-reuse"]
    assert set(origins[2:]) == {"bred"}


@pytest.mark.parametrize(
    ("heuristics", "expected"),
    [("none", set()), ("fora", {"fora-2"}), ("all", {"fora-2", "fora-4", "fora-attn-2", "pab", "random-50"})],
)
def test_heuristics_that_were_asked_for_are_evaluated_first(bench: Any, heuristics: str, expected: set[str]) -> None:
    bench.run(evaluations=20, heuristics=heuristics, step_seeds=0, drift_seeds=3)
    origins = {trial.user_attrs[attributes.ORIGIN] for trial in bench.complete()}
    heuristic = {origin for origin in origins if origin.startswith(("fora", "pab", "tgate", "random"))}
    assert expected <= heuristic
    assert bool(heuristic) == bool(expected)


def test_operators_by_their_gains_make_another_search_than_alike_ones(searched: Searched, bench: Bench) -> None:
    bench.run(adaptive=False)
    assert by_generation(bench.complete()) != by_generation(searched.trials)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"heuristics": "some"}, "'some' are unknown; choose one of fora, all, none"),
        ({"evaluations": 4}, "budget of 4 evaluations is below the offspring of one generation, 6"),
        ({"offspring": 1}, "offspring"),
        ({"population": 1}, "population"),
        ({"unfiltered": 7}, "unfiltered"),
        ({"pool": 3}, "pool"),
        ({"drift_seeds": -1}, "drift seeds"),
    ],
)
def test_settings_out_of_range_are_refused(bench: Any, settings: dict[str, int], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        bench.run(**settings)
