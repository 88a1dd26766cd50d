"""A sampler for Optuna studies of two objectives over packed binary genomes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from ecad_automl.errors import StudyError
from studies import attributes
from studies.binary.base import GenomeSampler
from studies.binary.config import BinaryConfig
from studies.binary.descriptors import Descriptor, default_descriptors
from studies.binary.genome import Bits, genome_of, pack_bits, unpack_all, unpack_bits
from studies.binary.model import Past
from studies.binary.objectives import Exact, Roles
from studies.binary.planning import BinaryPlan, first_plan, next_plan, predicted
from studies.binary.stale import enqueue

__all__ = ["PackedBinarySampler", "enqueue_bits", "suggest_bits"]


class PackedBinarySampler(GenomeSampler[BinaryPlan]):
    """Searches the front of two objectives over ``n`` bits with few evaluations.

    NSGA-II breeds a pool of distinct children, none of which was evaluated before; a surrogate (ridge regression, and
    LightGBM on what it leaves) chooses the batch with the largest expected gain of hypervolume. The objective function
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
        batch: trials of each bred generation.
        parents: size of the elite that breeds.
        pool: children bred for each generation, from which the surrogate chooses.
        unfiltered: how many of each batch are drawn from the pool by chance, to measure the surrogate on candidates
            that it did not choose.
        surrogate: False breeds without one: plain NSGA-II with the operators and without duplicates.
        adaptive: whether operators are used the more often the more their children have added to the front.
        rounds: pools that are bred for each generation, each but the first also from the children so far of which the
            surrogate expects most. More of them exploit the surrogate, errors included.
        trust: rank correlation of predicted and measured values, at equal values of the other objective, below which
            the surrogate is not used for a generation.
        features: from ``(n, bits)`` bool to ``(n, features)`` finite numbers, which the surrogate learns from instead
            of the bits and counts of ones over parts of the genome.
        exact: objectives that are known without an evaluation, by index: from ``(n, bits)`` bool to ``(n,)`` values, as
            the objective function returns them. The surrogate then predicts the other one alone.
        descriptors: the parameters of the trials by name, in place of shares of ones.
        reference: the worst values of interest of both objectives, which bound the hypervolume; by default a little
            worse than those of the front.
        seed: of all randomness, not negative; None draws one.

    Raises:
        StudyError: an argument is out of range; later, the study does not have two objectives, has genomes of another
            length, or a given function returned something unfit.
    """

    def __init__(
        self,
        bits: int,
        *,
        shape: tuple[int, int] | None = None,
        initial: int = 24,
        batch: int = 8,
        parents: int = 24,
        pool: int = 400,
        rounds: int = 5,
        unfiltered: int = 1,
        surrogate: bool = True,
        adaptive: bool = True,
        trust: float = 0.1,
        features: Callable[[Bits], Any] | None = None,
        exact: Mapping[int, Exact] | None = None,
        descriptors: Mapping[str, Descriptor] | None = None,
        reference: tuple[float, float] | None = None,
        seed: int | None = None,
    ) -> None:
        self._config = BinaryConfig(
            bits=bits,
            shape=shape,
            initial=initial,
            batch=batch,
            parents=parents,
            pool=pool,
            rounds=rounds,
            unfiltered=unfiltered,
            surrogate=surrogate,
            adaptive=adaptive,
            trust=trust,
            features=features,
            exact=dict(exact or {}),
            reference=reference,
            seed=int(np.random.default_rng().integers(2**31)) if seed is None else seed,
        )
        super().__init__(batch=batch, parents=parents, initial=initial, use_cache=False)
        self._descriptors = dict(descriptors) if descriptors is not None else default_descriptors(bits, shape)
        self._lock = threading.RLock()
        self._study: tuple[BaseStorage, int] | None = None

    def __getstate__(self) -> dict[str, Any]:
        # Optuna's users keep samplers in files. Locks and studies cannot be there; plans are made again.
        left_out = {"_lock", "_study", "_plans"}
        return {name: value for name, value in self.__dict__.items() if name not in left_out}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock, self._study, self._plans = threading.RLock(), None, {}

    @property
    def config(self) -> BinaryConfig:
        """The settings."""
        return self._config

    @property
    def descriptor_space(self) -> dict[str, FloatDistribution]:
        """The parameters of every trial."""
        return {name: FloatDistribution(each.low, each.high) for name, each in self._descriptors.items()}

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The descriptors, the same for every trial."""
        del study, trial
        return dict(self.descriptor_space)

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

    def _make_plan(self, study: Study, generation: int, elite: Sequence[FrozenTrial]) -> BinaryPlan:
        roles = Roles.of(study.directions, self._config.exact)
        past = self._past(study, generation)
        if generation == 0:
            return first_plan(self._config, past.tried)
        genomes = sorted(str(trial.user_attrs[attributes.GENOME]) for trial in elite)
        return next_plan(self._config, roles, generation, past, unpack_all(genomes, self._config.bits))

    def _candidates(self, plan: BinaryPlan) -> Iterable[tuple[str, Mapping[str, Any]]]:
        return plan.candidates

    def _describe(self, genome: str) -> dict[str, Any]:
        bits = unpack_all([genome], self._config.bits)[0]
        found = {}
        for name, descriptor in self._descriptors.items():
            value = float(descriptor.of(bits))
            if not descriptor.low <= value <= descriptor.high:
                raise StudyError(
                    f"The descriptor {name!r} is {value:g} for a genome; it was said to be from {descriptor.low:g} to "
                    f"{descriptor.high:g}."
                )
            found[name] = value
        return found

    def _past(self, study: Study, generation: int) -> Past:
        """What earlier generations have left behind, in an order that does not depend on when they were evaluated."""
        key = self._get_generation_key()
        earlier = [
            trial
            for trial in study._get_trials(deepcopy=False, use_cache=False)
            if attributes.GENOME in trial.user_attrs and trial.system_attrs.get(key, generation) < generation
        ]
        learned = [
            trial
            for trial in earlier
            if trial.state is TrialState.COMPLETE and np.isfinite(np.array(trial.values, dtype=np.float64)).all()
        ]
        learned.sort(key=lambda trial: (trial.system_attrs[key], str(trial.user_attrs[attributes.GENOME])))
        foretold = [
            [[trial.user_attrs.get(name) for name in predicted(index)] for index in (0, 1)] for trial in learned
        ]
        return Past(
            bits=unpack_all((trial.user_attrs[attributes.GENOME] for trial in learned), self._config.bits),
            values=np.array([trial.values for trial in learned], dtype=np.float64).reshape(-1, 2),
            constraints=_constraints([trial.constraints for trial in learned]),
            generation=np.array([trial.system_attrs[key] for trial in learned], dtype=np.intp),
            operators=[str(trial.user_attrs.get(attributes.OPERATOR, "")) for trial in learned],
            foretold=np.array(foretold, dtype=np.float64).reshape(-1, 2, 2),
            tried=frozenset(
                str(trial.user_attrs[attributes.GENOME])
                for trial in earlier
                if not trial.user_attrs.get(attributes.INTERRUPTED)
            ),
        )


def _constraints(told: Sequence[Mapping[str, float]]) -> NDArray[np.float64]:
    """``(n, constraints)``, in the order of their names; NaN where one was not told."""
    names = sorted({name for each in told for name in each})
    rows = [[each.get(name, np.nan) for name in names] for each in told]
    return np.array(rows, dtype=np.float64).reshape(len(told), len(names))


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
        for name, distribution in sampler.descriptor_space.items():
            trial.suggest_float(name, distribution.low, distribution.high)
    return genome_of(trial)


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
    if isinstance(study.sampler, PackedBinarySampler):
        length = study.sampler.config.bits
        wrong = next((genome for genome in genomes if len(unpack_bits(genome)) != length), None)
        if wrong is not None:
            raise StudyError(f"Genomes of {rows.shape[1]} bits were given, but the sampler is for {length}.")
    known = {
        trial.user_attrs.get(attributes.GENOME)
        for trial in study.get_trials(deepcopy=False)
        if not trial.user_attrs.get(attributes.INTERRUPTED)
    }
    new = [genome for genome in dict.fromkeys(genomes) if genome not in known]
    for genome in new:
        enqueue(study, {attributes.GENOME: genome, attributes.ORIGIN: origin, attributes.FILTERED: False})
    return len(new)
