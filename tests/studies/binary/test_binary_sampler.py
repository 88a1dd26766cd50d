from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
import pytest
from optuna._hypervolume import compute_hypervolume

from ecad_automl.errors import OptionError, StudyError
from studies.binary import Descriptor, PackedBinarySampler, enqueue_bits, genome_of, suggest_bits
from surrogate import Reference, hypervolume, non_dominated
from tests.studies.binary.conftest import BITS, WEIGHTS, genomes, objective, profit, sampler, weight

Search = Callable[..., optuna.Study]
EXACT = {1: lambda bits: bits @ WEIGHTS}


@pytest.mark.parametrize(
    "settings",
    [{}, {"surrogate": False}, {"exact": EXACT}, {"shape": (4, 5)}, {"rounds": 1}],
    ids=["both modeled", "no surrogate", "exact weight", "grid", "one round"],
)
def test_no_genome_is_evaluated_twice_and_the_same_seed_finds_the_same(search: Search, settings: Any) -> None:
    found = genomes(search(26, **settings))
    assert len(set(found)) == len(found) == 26
    assert genomes(search(26, **settings)) == found
    assert genomes(search(15, **settings, seed=1)) != found[:15]


def test_generations_have_their_size_and_one_of_each_batch_is_drawn_by_chance(search: Search) -> None:
    study = search(32)
    key = PackedBinarySampler._get_generation_key()
    generation = [trial.system_attrs[key] for trial in study.trials]
    assert generation == [0] * 14 + [g for g in (1, 2, 3) for _ in range(6)]
    for number in (1, 2, 3):
        batch = [trial.user_attrs for trial in study.trials if trial.system_attrs[key] == number]
        assert [each["filtered"] for each in batch] == [True] * 5 + [False]
        assert all({"predicted_0", "predicted_std_0", "predicted_1", "operator"} <= set(each) for each in batch)


def test_the_first_generation_is_spread_over_shares_of_ones(search: Search) -> None:
    study = search(14)
    shares = sorted(trial.params["ones"] for trial in study.trials)
    assert shares[0] < 0.2
    assert shares[-1] > 0.8
    assert max(np.diff(shares)) < 0.4


def test_the_front_is_that_of_optuna_and_so_is_its_hypervolume(search: Search) -> None:
    study = search(26)
    values = np.array([trial.values for trial in study.trials])
    best = {trial.number for trial in study.best_trials}
    assert set(np.flatnonzero(non_dominated(values[:, 0], values[:, 1])).tolist()) == best
    expected = compute_hypervolume(values * (-1, 1), np.array([0.0, float(WEIGHTS.sum())]))
    found = hypervolume(values[:, 0], values[:, 1], Reference(0.0, float(WEIGHTS.sum())))
    assert found == pytest.approx(expected)


def test_searching_finds_more_than_drawing_as_many_at_random(search: Search) -> None:
    def volume(values: list[tuple[float, float]]) -> float:
        reward, cost = np.array(values).T
        return hypervolume(reward, cost, Reference(0.0, float(WEIGHTS.sum())))

    drawn = np.random.default_rng(0).random((5, 38, BITS)) < 0.5
    at_random = [volume([(profit(bits), weight(bits)) for bits in run]) for run in drawn]
    assert volume([tuple(trial.values) for trial in search(exact=EXACT).trials]) > max(at_random)


def test_directions_and_order_of_the_objectives_change_nothing(search: Search) -> None:
    found = genomes(search(surrogate=False))

    def run(directions: list[str], of: Callable[[float, float], tuple[float, float]], **settings: Any) -> list[str]:
        study = optuna.create_study(directions=directions, sampler=sampler(**settings))
        study.optimize(lambda trial: of(*objective(trial)), n_trials=38)
        return genomes(study)

    assert run(["minimize", "minimize"], lambda p, w: (-p, w), surrogate=False) == found
    assert run(["maximize", "maximize"], lambda p, w: (p, -w), surrogate=False) == found
    # With a surrogate, where the same objective is exact.
    first = run(["maximize", "minimize"], lambda p, w: (p, w), exact=EXACT)
    assert run(["minimize", "maximize"], lambda p, w: (w, p), exact={0: EXACT[1]}) == first


def test_bits_come_with_the_trial_and_with_the_finished_one(search: Search) -> None:
    study = search(20)
    for trial in study.trials:
        bits = genome_of(trial)
        assert bits.shape == (BITS,)
        assert suggest_bits(trial).tolist() == bits.tolist()
        assert trial.values == [profit(bits), weight(bits)]
        assert trial.params["ones"] == bits.mean()
    assert all(len(trial.params) == 9 for trial in study.trials)


def test_own_descriptors_are_the_parameters(search: Search) -> None:
    own = {"taken": Descriptor(np.sum, 0, BITS), "first": Descriptor(lambda bits: bits[0])}
    study = search(16, descriptors=own)
    assert all(
        trial.params == {"taken": genome_of(trial).sum(), "first": genome_of(trial)[0]} for trial in study.trials
    )


def test_what_was_enqueued_is_evaluated_first_and_once(search: Search) -> None:
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler())
    extremes = np.array([[0] * BITS, [1] * BITS, [0] * BITS])
    assert enqueue_bits(study, extremes, origin="extreme") == 2
    assert enqueue_bits(study, extremes[0]) == 0
    search(20, study)
    assert [genome_of(trial).sum() for trial in study.trials[:2]] == [0, BITS]
    assert [trial.user_attrs["origin"] for trial in study.trials[:3]] == ["extreme", "extreme", "random"]
    key = PackedBinarySampler._get_generation_key()
    assert [trial.system_attrs[key] for trial in study.trials] == [0] * 14 + [1] * 6
    with pytest.raises(StudyError, match="21 bits were given, but the sampler is for 20"):
        enqueue_bits(study, [0] * 21)


def test_failed_trials_are_passed_over(search: Search) -> None:
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler())

    def fails_sometimes(trial: optuna.Trial) -> tuple[float, float]:
        values = objective(trial)
        if trial.number % 5 == 4:
            raise ValueError("no value")
        return values

    study.optimize(fails_sometimes, n_trials=30, catch=(ValueError,))
    assert len(set(genomes(study))) == 30
    assert sum(trial.state.name == "FAIL" for trial in study.trials) == 6


def test_infeasible_trials_do_not_become_parents_of_choice() -> None:
    """The constraint forbids what would be best; with it the search stays where it is met."""
    shares = []
    for constrained in (False, True):
        study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler(exact=EXACT))

        def heavy_ones_are_forbidden(trial: optuna.Trial, constrained: bool = constrained) -> tuple[float, float]:
            bits = suggest_bits(trial)
            if constrained:
                trial.set_constraint("few", float(bits.sum()) - 6.0)
            return profit(bits), weight(bits)

        study.optimize(heavy_ones_are_forbidden, n_trials=44)
        shares.append(np.mean([genome_of(trial).sum() <= 6 for trial in study.trials[14:]]))
    assert shares[1] > shares[0] + 0.2


@pytest.mark.parametrize("surrogate", [True, False])
def test_a_small_search_space_is_searched_to_its_end(surrogate: bool) -> None:
    small = PackedBinarySampler(4, seed=0, initial=4, offspring=3, population=4, pool=8, surrogate=surrogate)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=small)

    def count(trial: optuna.Trial) -> tuple[float, float]:
        bits = suggest_bits(trial)
        return float(bits[:2].sum()), float(bits.sum())

    study.optimize(count, n_trials=16)
    assert len(set(genomes(study))) == 16
    with pytest.raises(StudyError, match="exhausted"):
        study.optimize(count, n_trials=1)


def test_threads_get_different_genomes() -> None:
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler())
    together = threading.Barrier(4, timeout=30)

    def at_once(trial: optuna.Trial) -> tuple[float, float]:
        values = objective(trial)
        together.wait()
        return values

    study.optimize(at_once, n_trials=28, n_jobs=4)
    assert len(set(genomes(study))) == 28


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bits": 0}, "bits is 0; it must be at least 1"),
        ({"initial": 1}, "initial is 1; it must be at least 2"),
        ({"population": 1}, "population is 1"),
        ({"offspring": 0}, "offspring is 0"),
        ({"rounds": 0}, "rounds is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"shape": (4, 6)}, "4 x 6, but there are 20 bits"),
        ({"pool": 4}, "pool of 4 is below the offspring, 8"),
        ({"unfiltered": 9}, "unfiltered are 9 of 8 offspring"),
        ({"exact": {2: len}}, "indices of objectives"),
        ({"reference": (1.0,)}, "one for each of two"),
    ],
)
def test_arguments_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        PackedBinarySampler(**{"bits": BITS, **settings})


def test_a_descriptor_without_a_range_is_refused() -> None:
    with pytest.raises(OptionError, match="the first must be lower"):
        Descriptor(np.sum, 1, 0)


def test_a_study_of_other_than_two_objectives_is_refused() -> None:
    for directions in (["minimize"], ["minimize"] * 3):
        study = optuna.create_study(directions=directions, sampler=sampler())
        with pytest.raises(StudyError, match=f"has {len(directions)} objective.* for two"):
            study.optimize(objective, n_trials=1)


def test_other_parameters_and_other_samplers_are_refused() -> None:
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler())
    with pytest.raises(StudyError, match="'depth', but PackedBinarySampler breeds bits alone"):
        study.optimize(lambda trial: (trial.suggest_int("depth", 1, 3), 0.0), n_trials=1)
    study = optuna.create_study(directions=["maximize", "minimize"])
    with pytest.raises(StudyError, match="sampler is TPESampler"):
        study.optimize(objective, n_trials=1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"exact": {1: lambda bits: bits.sum(axis=1)}}, "exact objective 1 gives .* leave out"),
        ({"exact": {1: lambda bits: bits}}, "one finite number for each row"),
        ({"features": lambda bits: bits[0]}, r"'features' gave an array of the shape \(20,\)"),
        ({"features": lambda bits: bits / 0}, "all finite"),
        ({"descriptors": {"taken": Descriptor(np.sum, 0, 1)}}, "'taken' is .* said to be from 0 to 1"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_functions_that_give_something_unfit_are_told(search: Search, settings: Any, message: str) -> None:
    with pytest.raises(StudyError, match=message):
        search(20, **settings)


def test_one_sampler_may_serve_several_studies() -> None:
    shared = sampler(surrogate=False)
    found = []
    for sign in (1.0, -1.0, 1.0):
        study = optuna.create_study(directions=["maximize", "minimize"], sampler=shared)
        study.optimize(lambda trial, sign=sign: (sign * objective(trial)[0], objective(trial)[1]), n_trials=24)
        found.append(genomes(study))
    assert found[0] == found[2] != found[1]


def test_own_features_and_reference_are_used(search: Search) -> None:
    asked = []

    def features(bits: np.ndarray) -> np.ndarray:
        asked.append(len(bits))
        return bits @ np.stack([WEIGHTS, np.arange(BITS)], axis=1)

    study = search(20, features=features, reference=(0.0, float(WEIGHTS.sum())))
    # What was evaluated, then the pool of each round.
    assert asked == [14, 60, 60]
    assert len(study.trials) == 20


def test_a_study_of_another_number_of_bits_is_refused(search: Search) -> None:
    study = search(16)
    study.sampler = PackedBinarySampler(BITS + 1, initial=14, offspring=6)
    with pytest.raises(StudyError, match="genome of 20 bits, but the sampler is for 21"):
        study.optimize(objective, n_trials=1)


def test_a_sampler_can_be_copied_as_optuna_users_do(search: Search) -> None:
    import pickle

    study = search(20)
    study.sampler = pickle.loads(pickle.dumps(study.sampler))
    study.optimize(objective, n_trials=4)
    assert genomes(study) == genomes(search(24))
