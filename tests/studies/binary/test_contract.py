"""What Optuna asks of samplers: its own tests, as far as genomes have what they ask for, and what users run into."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    MultiObjectiveSamplerTestCase,
    RelativeSamplerTestCase,
)
from optuna.trial import TrialState

from ecad_automl.errors import StudyError
from studies.binary import PackedBinarySampler, suggest_bits
from tests.studies.binary.conftest import BITS, genomes, objective, sampler

SMALL: dict[str, Any] = {"initial": 14, "population": 8, "offspring": 4, "pool": 24, "rounds": 1}
PLAIN: dict[str, Any] = {**SMALL, "surrogate": False}


def study_of(**settings: Any) -> optuna.Study:
    return optuna.create_study(directions=["maximize", "minimize"], sampler=sampler(**settings))


class TestOtherSpaces(BasicSamplerTestCase, RelativeSamplerTestCase, MultiObjectiveSamplerTestCase):
    """Optuna's own tests, all of one objective or other parameters; what they promise of two over bits follows."""

    @pytest.fixture
    def sampler(self, request: pytest.FixtureRequest) -> Callable[[], PackedBinarySampler]:
        if request.node.originalname != "test_sample_single_distribution":  # which has nothing to choose
            reason = "two objectives over bits alone: a ValueError, as Optuna asks"
            request.applymarker(pytest.mark.xfail(raises=StudyError, strict=True, reason=reason))
        return lambda: sampler(**PLAIN)


@pytest.mark.parametrize("jobs", [1, 2])
def test_trials_get_their_genome_and_its_parameters_at_the_first_question(jobs: int) -> None:
    study = study_of(**PLAIN)

    def asked(trial: optuna.Trial) -> tuple[float, float]:
        assert trial._relative_params is None
        found = objective(trial)
        assert trial._relative_params == trial.params
        return found

    study.optimize(asked, n_trials=20, n_jobs=jobs)
    assert len(set(genomes(study))) == 20


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_not_finite_are_on_no_front(value: float) -> None:
    study = study_of(**SMALL)
    study.optimize(lambda trial: (value, objective(trial)[1]) if trial.number % 5 == 2 else objective(trial), 26)
    assert len(study.trials) == 26
    assert len(study.get_trials(states=[TrialState.COMPLETE])) >= 20


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")  # in Optuna's distances
@pytest.mark.parametrize("values", [(1e308, 1.0), (1e308, -1e308), (-1e308, 1e308)])
@pytest.mark.parametrize("settings", [SMALL, PLAIN])
def test_a_value_as_large_as_can_be_ends_no_study(values: tuple[float, float], settings: dict[str, Any]) -> None:
    study = study_of(**settings)
    study.optimize(lambda trial: (objective(trial), values)[trial.number == 5], n_trials=24)
    assert len(set(genomes(study))) == 24


@pytest.mark.parametrize("good", [0, 20])
def test_a_study_survives_an_outage(good: int) -> None:
    study, down = study_of(**PLAIN), [False]

    def unreliable(trial: optuna.Trial) -> tuple[float, float]:
        found = objective(trial)
        if down[0]:
            raise ConnectionError
        return found

    # More than a generation has candidates at first: 50 for each offspring, or twice the initial ones and a few.
    for down[0], trials in ((False, good), (True, 220 if good else 60), (False, 8)):
        study.optimize(unreliable, n_trials=trials, catch=[ConnectionError])
    assert len(set(genomes(study))) == len(study.trials)
    assert [trial.state for trial in study.trials[-8:]] == [TrialState.COMPLETE] * 8


def test_a_space_that_failed_as_a_whole_says_so() -> None:
    study = optuna.create_study(
        directions=["maximize", "minimize"], sampler=PackedBinarySampler(3, seed=0, initial=2, pool=8)
    )
    study.optimize(lambda trial: (suggest_bits(trial).sum(), float("nan")), n_trials=8)
    with pytest.raises(StudyError, match="no candidate left"):
        study.optimize(lambda trial: (suggest_bits(trial).sum(), float("nan")), n_trials=1)


def test_a_resumed_outage_goes_on_as_one_that_was_not_interrupted() -> None:
    def run(*parts: int) -> list[str]:
        study = study_of(**PLAIN)
        study.optimize(objective, n_trials=14)
        for part in parts:
            study.sampler = sampler(**PLAIN)
            study.optimize(lambda trial: objective(trial)[:0] or float("nan"), n_trials=part)
        return genomes(study)

    assert run(215, 10) == run(225)


def test_another_seed_proposes_something_else() -> None:
    first, second, third = study_of(**PLAIN), study_of(**PLAIN), study_of(**PLAIN)
    third.sampler.reseed_rng()
    for study in (first, second, third):
        study.optimize(objective, n_trials=6)
    assert genomes(first) == genomes(second)
    assert not set(genomes(third)) & set(genomes(first))


def test_parameters_of_another_genome_are_not_recorded() -> None:
    study = study_of(**PLAIN)
    study.enqueue_trial({"ones": 0.25, "another": 3})
    with pytest.raises(StudyError, match=r"'ones' as 0.25.*enqueue_bits"):
        study.optimize(objective, n_trials=1)
    assert study.trials[0].params == {}
    assert study.trials[0].state is TrialState.FAIL
    study.optimize(objective, n_trials=2)
    again = study.trials[1]
    study.enqueue_trial(again.params, user_attrs=again.user_attrs)  # as for a repetition
    study.optimize(objective, n_trials=1)
    assert study.trials[-1].params == again.params
    assert np.mean(suggest_bits(study.trials[-1])) == again.params["ones"]


def test_a_copied_study_has_the_parents_it_had_and_goes_on_alike(tmp_path: Path) -> None:
    there, here = (f"sqlite:///{tmp_path}/{name}.db" for name in ("there", "here"))
    other = optuna.create_study(storage=here)
    other.optimize(lambda _: 1.0, n_trials=3)
    study = optuna.create_study(
        study_name="s", storage=there, directions=["maximize", "minimize"], sampler=sampler(**PLAIN)
    )
    study.optimize(objective, n_trials=20)
    optuna.copy_study(from_study_name="s", from_storage=there, to_storage=here)
    copied = optuna.load_study(study_name="s", storage=here, sampler=sampler(**PLAIN))
    for generation in (1, 2):
        parents = [
            {each.number for each in sampler().get_parent_population(one, generation)} for one in (study, copied)
        ]
        assert parents[0] == parents[1] != set()
    for one in (study, copied):
        one.sampler = sampler(**PLAIN)
        one.optimize(objective, n_trials=3)
    assert genomes(study) == genomes(copied)
    assert len(suggest_bits(copied.trials[-1])) == BITS


def test_a_copy_that_an_earlier_version_made_has_its_parents_found_anew(tmp_path: Path) -> None:
    study = study_of(**PLAIN)
    study.optimize(objective, n_trials=23)
    expected = [{each.number for each in study.sampler.get_parent_population(study, g)} for g in (1, 2)]
    storage = optuna.storages.InMemoryStorage()
    old = optuna.create_study(storage=storage, directions=["maximize", "minimize"], sampler=sampler(**PLAIN))
    for trial in study.trials:
        old.add_trial(trial)
    for generation in (1, 2):
        storage.set_study_system_attr(old._study_id, f"PackedBinarySampler:parent:{generation}", [10**6, 2])
    for generation in (2, 1):
        found = {each.number for each in old.sampler.get_parent_population(old, generation)}
        assert found == expected[generation - 1]
