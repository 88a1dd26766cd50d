from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ecad_automl.errors import StudyError
from ecad_automl.rewards import Constraint, parse_constraint
from storage import Store
from studies import attributes
from studies.cost import study_front
from studies.quality import Scale
from studies.trials import is_feasible
from tests.studies.conftest import Bench

#: Outputs in use are at most so old in the mean.
FRESH = Constraint("fresh", True, -0.8)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    bench = Bench(tmp_path_factory.mktemp("constraints") / "study.db", in_file=True)
    bench.run(constraints=[FRESH], evaluations=90)
    return bench


def test_no_schedule_on_the_front_violates_a_constraint(searched: Bench) -> None:
    with Store.open(searched.database) as store:
        records = store.evaluations("s")
        found = study_front(records, {})
    assert len(found) > 3
    assert all(record.scores["fresh"].mean() >= FRESH.bound for record in found)
    assert study_front((replace(record, feasible=True) for record in records), {}) != found


def test_trials_carry_the_constraint_as_optuna_knows_it(searched: Bench) -> None:
    trials = searched.complete()
    assert any(not is_feasible(trial) for trial in trials)
    for trial in trials:
        mean = trial.user_attrs[attributes.CONSTRAINED]["fresh"]
        assert trial.constraints == {"fresh>=-0.8": pytest.approx(FRESH.bound - mean)}
        assert is_feasible(trial) == (mean >= FRESH.bound)


def test_the_best_trials_of_optuna_are_feasible(searched: Bench) -> None:
    assert all(is_feasible(trial) for trial in searched.study().best_trials)


def test_candidates_that_the_surrogate_chooses_mostly_meet_the_constraint(searched: Bench) -> None:
    bred = [trial for trial in searched.complete() if attributes.PREDICTED_REWARD in trial.user_attrs]
    chosen = [is_feasible(trial) for trial in bred if trial.user_attrs[attributes.FILTERED]]
    assert len(chosen) > 30
    assert np.mean(chosen) > 0.75


def test_hypervolume_counts_what_is_feasible(bench: Any) -> None:
    floor = -5.0  # low enough that schedules of interest violate the constraint
    status = bench.run(evaluations=30, constraints=[FRESH], floor=floor)
    trials = bench.complete()
    full = max(trials, key=lambda trial: trial.values[1]).values
    scale = Scale(full[0], floor, full[1])
    feasible = np.array([trial.values for trial in trials if is_feasible(trial)])
    assert status.hypervolume == pytest.approx(scale.hypervolume(feasible[:, 0], feasible[:, 1]))
    everything = np.array([trial.values for trial in trials])
    assert status.hypervolume < scale.hypervolume(everything[:, 0], everything[:, 1])


def test_a_resumed_search_goes_on_as_an_undisturbed_one(bench: Any) -> None:
    bench.run(study="whole", constraints=[FRESH], evaluations=45)
    bench.run(study="parts", constraints=[FRESH], evaluations=25)
    bench.run(study="parts", constraints=[FRESH], evaluations=45)
    whole, parts = (
        {trial.user_attrs[attributes.GENOME] for trial in bench.complete(study)} for study in ("whole", "parts")
    )
    assert whole == parts


def test_a_constraint_that_the_uncached_run_violates_is_refused(bench: Any) -> None:
    with pytest.raises(StudyError, match="The uncached run has a mean fresh of"):
        bench.run(constraints=[Constraint("fresh", True, 0.5)])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fidelity>=-0.05", Constraint("fidelity", True, -0.05)),
        ("lpips <= 1e-1", Constraint("lpips", False, 0.1)),
        ("clip=a/b>=20", Constraint("clip=a/b", True, 20.0)),
    ],
)
def test_constraints_are_read_as_people_write_them(text: str, expected: Constraint) -> None:
    found = parse_constraint(text)
    assert found == expected
    assert parse_constraint(str(found)) == found
