"""A sampler for Optuna studies of two objectives over packed binary genomes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from ecad_automl.errors import OptionError, StudyError
from studies import attributes
from studies.binary.space import Bits, Exact, PackedBits, default_descriptors, genome_of, pack_bits, predicted
from studies.breeding import Descriptor, GenomeSampler, Measured, Plan, Proposal
from studies.config import BreedingConfig

Floats = NDArray[np.float64]

#: What larger values count as: squares and products of values must be finite.
_MOST = 1e100


class PackedBinarySampler(GenomeSampler[bytes]):
    """Searches the front of two objectives over ``n`` bits with few evaluations.

    NSGA-II breeds a pool of distinct children, none of which was evaluated before; a surrogate (ridge regression, and
    LightGBM on what it leaves) chooses those with the largest expected hypervolume improvement. The objective function
    gets its bits by :func:`suggest_bits`. The genome is one attribute of the trial, and the trial's parameters are
    readable descriptors of it, so storages and dashboards stay quick with thousands of bits.

    Constraints are those of Optuna (``trial.set_constraint``): parents are selected by them, the front is that of
    trials which meet them, and surrogates tell how probable it is that a child does.

    A study goes on from any Optuna storage: make the sampler with the same arguments again. Proposals depend on the
    seed and on what was evaluated alone, as long as one trial runs at a time.

    Args:
        bits: length of the genome.
        shape: rows and columns, where the bits are a grid, row by row, in which neighbors have to do with each other.
            There are then operators on rows, columns and rectangles, and other default features.
        initial: trials of the first generation: those that were enqueued by :func:`enqueue_bits`, and random ones whose
            shares of ones are spread from 0 to 1.
        population: trials that survive a generation, and breed.
        offspring: trials of each bred generation.
        pool: children bred for each generation, from which the surrogate chooses the offspring.
        rounds: pools that are bred for each generation, each but the first also from the children so far of which the
            surrogate expects most. More of them exploit the surrogate, errors included.
        unfiltered: how many of the offspring are drawn from the pool by chance, to measure the surrogate on candidates
            that it did not choose.
        surrogate: False breeds without one: plain NSGA-II with the operators and without duplicates.
        adaptive: whether operators are used the more often the more their children have added to the front.
        min_rank_correlation: of predicted and measured values, at equal values of the other objective, below which the
            surrogate is not used for a generation.
        features: from ``(n, bits)`` bool to ``(n, features)`` finite numbers, which the surrogate learns from instead
            of the bits and counts of ones over parts of the genome.
        exact: objectives that are known without an evaluation, by index: from ``(n, bits)`` bool to ``(n,)`` values, as
            the objective function returns them. The surrogate then predicts the other one alone.
        descriptors: the parameters of the trials by name, in place of shares of ones.
        reference: the worst values of interest of both objectives, which bound the hypervolume; by default a little
            worse than those of the front.
        seed: of all randomness, not negative; None draws one.

    Raises:
        OptionError: an argument is out of range.
        StudyError: later, the study does not have two objectives, has genomes of another
            length, or a given function returned something unfit.
    """

    def __init__(
        self,
        bits: int,
        *,
        shape: tuple[int, int] | None = None,
        initial: int = 24,
        population: int = 24,
        offspring: int = 8,
        pool: int = 400,
        rounds: int = 5,
        unfiltered: int = 1,
        surrogate: bool = True,
        adaptive: bool = True,
        min_rank_correlation: float = 0.1,
        features: Callable[[Bits], Any] | None = None,
        exact: Mapping[int, Exact] | None = None,
        descriptors: Mapping[str, Descriptor] | None = None,
        reference: tuple[float, float] | None = None,
        seed: int | None = None,
    ) -> None:
        config = BreedingConfig(
            population=population,
            offspring=offspring,
            pool=pool,
            rounds=rounds,
            unfiltered=unfiltered,
            surrogate=surrogate,
            adaptive=adaptive,
            min_rank_correlation=min_rank_correlation,
            seed=int(np.random.default_rng().integers(2**31)) if seed is None else seed,
        )
        if initial < 2:
            raise OptionError(f"The initial is {initial}; it must be at least 2.")
        named = {} if descriptors is None else dict(descriptors)
        space = PackedBits(bits, shape, features, dict(exact or {}), named, reference, config.seed)
        if descriptors is None:
            space = replace(space, descriptors=default_descriptors(bits, shape))
        super().__init__(space, config, initial=initial)
        self._lock = threading.RLock()
        self._study: tuple[BaseStorage, int] | None = None

    def __getstate__(self) -> dict[str, Any]:
        # Optuna's users keep samplers in files. Locks and studies cannot be there; plans are made again.
        left_out = {"_lock", "_study", "_plans", "_candidates"}
        return {name: value for name, value in self.__dict__.items() if name not in left_out}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock, self._study, self._plans, self._candidates = threading.RLock(), None, {}, {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Give the trial a genome, and return the genome's descriptors; threads of one process get different ones."""
        with self._lock:
            place = study._storage, study._study_id
            if place != self._study:
                # One sampler may serve several studies, one after the other.
                self._study, self._plans = place, {}
            return super().sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Refuse: a parameter beside the bits would be drawn at random for ever.

        Raises:
            StudyError: always.
        """
        del study, trial, param_distribution
        raise StudyError(
            f"The objective asks for the parameter {param_name!r}, but PackedBinarySampler breeds bits alone; call "
            "suggest_bits(trial), and give what else is to be chosen some bits of its own."
        )

    def _space_of(self, study: Study) -> PackedBits:
        return replace(self._packed, directions=study.directions)

    def reseed_rng(self) -> None:
        """Draw another seed, from the next proposals on; Optuna does so in each thread of ``optimize(n_jobs=...)``."""
        super().reseed_rng()
        with self._lock:
            seed = int(np.random.default_rng().integers(2**31))
            self._config, self._space = replace(self._config, seed=seed), replace(self._packed, seed=seed)
            self._plans = {}

    @property
    def _packed(self) -> PackedBits:
        assert isinstance(self._space, PackedBits)
        return self._space

    def _make_plan(self, study: Study, generation: int, used: Sequence[Proposal[bytes]] = ()) -> Plan[bytes]:
        space = self._space_of(study)
        if generation:
            return super()._make_plan(study, generation, used)
        # Shares of ones are spread evenly from 0 to 1, in random order; spare ones follow for those that fail.
        start = time.perf_counter()
        rng = self._stream(0, used)
        count = 0 if used else self._initial
        shares = rng.permutation((np.arange(count) + rng.random(count)) / count)
        first = rng.random((count, space.bits)) < shares[:, None]
        spare = space.fresh(2 * self._initial + self._config.offspring, rng)
        known = {proposal.candidate for proposal in used}
        found = dict.fromkeys(one for row in (*first, *spare) if (one := space.candidate(row)) not in known)
        proposals = tuple(Proposal(candidate, origin="random") for candidate in found)
        return Plan(proposals, seconds=time.perf_counter() - start)

    def _is_measured(self, trial: FrozenTrial) -> bool:
        return trial.state is TrialState.COMPLETE and bool(np.isfinite(np.array(trial.values, dtype=np.float64)).all())

    def _measured(self, study: Study, trials: Sequence[FrozenTrial]) -> Measured:
        space = self._space_of(study)
        values = np.array([trial.values for trial in trials], dtype=np.float64).reshape(-1, 2).clip(-_MOST, _MOST)
        reward, cost = (sign * values[:, i] for i, sign in zip(space.objectives, space.signs, strict=True))
        names = sorted({name for trial in trials for name in trial.constraints})
        rows = [[-trial.constraints.get(name, np.nan) for name in names] for trial in trials]
        margins = np.array(rows, dtype=np.float64).reshape(len(trials), len(names))
        feasible = np.asarray((~(margins < 0)).all(axis=1), dtype=np.bool_)
        return Measured(reward, cost, np.ones(len(trials)), feasible, margins)

    def _predicted(self, study: Study, trials: Sequence[FrozenTrial]) -> Floats:
        space = self._space_of(study)
        rows = [[[trial.user_attrs.get(name) for name in predicted(i)] for i in space.objectives] for trial in trials]
        found = np.array(rows, dtype=np.float64).reshape(-1, 2, 2)
        found[:, :, 0] *= space.signs
        return found


def suggest_bits(trial: Trial | FrozenTrial) -> Bits:
    """The bits that an objective function is to evaluate: ``(bits,)`` bool.

    Args:
        trial: what Optuna gives the objective function. The trial's parameters are recorded along the way. A finished
            trial, such as one of ``study.best_trials``, gives the bits that it had.

    Raises:
        StudyError: the study has another sampler than :class:`PackedBinarySampler`, or it has no candidate left.
    """
    if isinstance(trial, Trial):
        sampler = trial.study.sampler
        if not isinstance(sampler, PackedBinarySampler):
            raise StudyError(
                f"The study's sampler is {type(sampler).__name__}; create or load the study with "
                "sampler=PackedBinarySampler(...) to get bits."
            )
        _check_enqueued(trial)
        for name, descriptor in sampler.space.descriptors.items():
            trial.suggest_float(name, descriptor.low, descriptor.high)
    return genome_of(trial)


def _check_enqueued(trial: Trial) -> None:
    """Parameters that the trial was enqueued with must be those of its genome."""
    described = trial.relative_params  # which has the trial get its genome
    enqueued = trial.study._storage.get_trial(trial._trial_id).system_attrs.get("fixed_params", {})
    for name in enqueued.keys() & described.keys():
        if enqueued[name] != described[name]:
            raise StudyError(
                f"The trial was enqueued with {name!r} as {enqueued[name]!r}, but parameters only describe a genome, "
                f"and of its own this is {described[name]:g}; queue genomes with enqueue_bits(study, bits)."
            )


def enqueue_bits(study: Study, bits: Any, origin: str = "seed") -> int:
    """Queue genomes to be evaluated next; those that the study holds already are passed over.

    Args:
        study: with a :class:`PackedBinarySampler`.
        bits: ``(bits,)`` or ``(n, bits)`` of 0 and 1.
        origin: what they come from, for the attribute ``origin`` of their trials.

    Returns:
        How many were queued.

    Raises:
        StudyError: they are something else, or of another length than the sampler's.
    """
    rows = np.atleast_2d(np.asarray(bits))
    genomes = [pack_bits(row) for row in rows]
    space = study.sampler.space if isinstance(study.sampler, PackedBinarySampler) else None
    if isinstance(space, PackedBits) and rows.shape[1] != space.bits:
        raise StudyError(f"Genomes of {rows.shape[1]} bits were given, but the sampler is for {space.bits}.")
    known = {
        trial.user_attrs.get(attributes.GENOME)
        for trial in study.get_trials(deepcopy=False)
        if not trial.user_attrs.get(attributes.INTERRUPTED)
    }
    new = [genome for genome in dict.fromkeys(genomes) if genome not in known]
    for genome in new:
        found = {attributes.GENOME: genome, attributes.ORIGIN: origin, attributes.FILTERED: False}
        study.enqueue_trial({}, user_attrs=found)
    return len(new)
