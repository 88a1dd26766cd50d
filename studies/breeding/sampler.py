"""NSGA-II over genomes, which are trial attributes, with readable descriptors as parameters."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Generic, NamedTuple

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import NSGAIISampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from ecad_automl.errors import StudyError
from studies import attributes
from studies.breeding.propose import Plan, Proposal, propose
from studies.breeding.space import Candidate, Descriptor, Past, Pending, Space
from studies.config import BreedingConfig
from studies.trials import EVALUATED

Floats = NDArray[np.float64]

#: What a study keeps the numbers of the parents of a generation under.
_PARENTS = "parents"


class Measured(NamedTuple):
    """What evaluated trials say of their candidates: see :class:`~studies.breeding.space.Past`."""

    reward: Floats
    cost: Floats
    share: Floats
    feasible: NDArray[np.bool_]
    margins: Floats


class GenomeSampler(NSGAIISampler, Generic[Candidate]):
    """NSGA-II whose individuals are genomes.

    A trial's genome is a user attribute; its parameters are descriptors of that genome, which this sampler returns as
    if it had sampled them. Enqueued trials bring their genome along (the seeds); all others get the next candidate of
    the plan of their generation. Selection of parents is Optuna's own, on trials.

    All randomness of a generation derives from the seed and its number, and candidates are ordered by generation and
    genome, not by when they were evaluated: a resumed study proposes what an uninterrupted one would have.

    Optuna files generations under the name of the subclass: renaming one orphans stored studies.

    Args:
        space: what is searched.
        config: the settings of breeding.
        initial: trials of generation 0, seeds included; with 0, seeds are all that it has.
    """

    def __init__(self, space: Space[Candidate], config: BreedingConfig, *, initial: int = 0) -> None:
        super().__init__(population_size=config.population)
        self._space = space
        self._config = config
        self._initial = initial
        self._plans: dict[int, Plan[Candidate]] = {}
        self._candidates: dict[str, Candidate] = {}

    @abstractmethod
    def _is_measured(self, trial: FrozenTrial) -> bool:
        """Whether a trial's evaluation says something of its candidate."""

    @abstractmethod
    def _measured(self, study: Study, trials: Sequence[FrozenTrial]) -> Measured:
        """What such trials say."""

    @abstractmethod
    def _predicted(self, study: Study, trials: Sequence[FrozenTrial]) -> Floats:
        """``(n, 2, 2)``: of reward and cost what was predicted, and its standard deviation; NaN where nothing was."""

    def _space_of(self, study: Study) -> Space[Candidate]:
        """The space of one study."""
        del study
        return self._space

    @property
    def space(self) -> Space[Candidate]:
        """What is searched."""
        return self._space

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """The parameters of every trial: descriptors."""
        return distributions(self._space.descriptors)

    def plan(self, generation: int) -> Plan[Candidate] | None:
        """The candidates of a generation that this process has made, for its figures."""
        return self._plans.get(generation)

    def prepare(self, generation: int, plan: Plan[Candidate]) -> None:
        """Give the candidates of a generation, so that they need not be proposed when the first is asked for."""
        self._plans[generation] = plan

    def candidate(self, trial: FrozenTrial) -> Candidate:
        """The candidate of a trial; each genome is read once, and those that were proposed here never."""
        genome = str(trial.user_attrs[attributes.GENOME])
        if genome not in self._candidates:
            self._candidates[genome] = self._space.read(genome)
        return self._candidates[genome]

    def past(self, study: Study, generation: int) -> Past[Candidate]:
        """What a generation learns from: all that was evaluated before, in order of generation and genome."""
        key = self._get_generation_key()
        earlier = [
            trial
            for trial in _with_genome(study.get_trials(deepcopy=False))
            if trial.system_attrs.get(key, generation) < generation
        ]
        learned = [trial for trial in earlier if self._is_measured(trial)]
        learned.sort(key=lambda trial: (trial.system_attrs[key], _genome(trial)))
        return Past(
            genes=self._space.genes([self.candidate(trial) for trial in learned]),
            generation=np.array([trial.system_attrs[key] for trial in learned], dtype=np.intp),
            operators=[str(trial.user_attrs.get(attributes.OPERATOR, "")) for trial in learned],
            predicted=self._predicted(study, learned),
            tried={self.candidate(trial) for trial in earlier},
            **self._measured(study, learned)._asdict(),
        )

    def request(
        self,
        study: Study,
        generation: int,
        elite: Sequence[FrozenTrial],
        used: Sequence[Proposal[Candidate]] = (),
    ) -> Callable[[], Plan[Candidate]]:
        """What makes a generation. It looks at nothing but what is gathered now, so another thread may call it.

        Args:
            study: to be searched.
            generation: its number.
            elite: the parents.
            used: what was proposed for the generation before, where that is not enough.
        """
        space, past = self._space_of(study), self.past(study, generation)
        past = replace(past, tried={*past.tried, *(each.candidate for each in used)})
        running = _with_genome(study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))
        predicted = self._predicted(study, running)[:, 0, 0]
        pending = [Pending(self.candidate(trial), value) for trial, value in zip(running, predicted, strict=True)]
        # By genome, so that trial numbers do not matter.
        parents = [self.candidate(trial) for trial in sorted(elite, key=_genome)]
        rng = self._stream(generation, used)
        return lambda: propose(space, past, parents, self._config, rng, pending)

    @classmethod
    def generation_of(cls, trial: FrozenTrial) -> int:
        """The generation of a trial that was asked for; 0 for others."""
        return int(trial.system_attrs.get(cls._get_generation_key(), 0))

    def get_trial_generation(self, study: Study, trial: FrozenTrial) -> int:
        """Seeds are generation 0; bred trials fill generations of as many evaluated ones as there are offspring."""
        stored = trial.system_attrs.get(self._get_generation_key())
        if stored is not None:
            return int(stored)
        seed = attributes.GENOME in trial.user_attrs
        generation = 0 if seed else self.open_generation(study)
        # As Optuna's own samplers do it: there is no public way to write to the trial that a sampler is given.
        study._storage.set_trial_system_attr(trial._trial_id, self._get_generation_key(), generation)
        return generation

    def open_generation(self, study: Study) -> int:
        """The generation that the next bred trial is of: the last one until it has all its offspring, then a new one.

        Trials that are being evaluated count as those that have been; those that failed do not.
        """
        key, first, last, members = self._get_generation_key(), 0, 1, 0
        states = (*EVALUATED, TrialState.RUNNING)
        for trial in study.get_trials(deepcopy=False, states=states):
            generation = trial.system_attrs.get(key, -1)
            first += generation == 0
            if generation > last:
                last, members = generation, 1
            elif generation == last:
                members += 1
        if last == 1 and not members and first < self._initial:
            return 0
        return last + (members >= self._config.offspring)

    def get_parent_population(self, study: Study, generation: int) -> list[FrozenTrial]:
        """The parents of a generation, found once and kept by the numbers of their trials.

        Optuna keeps them by the ids of trials, which are others in a copy of a study; its list is written too, and read
        where it is of this study.
        """
        if generation == 0:
            return []
        trials = study.get_trials(deepcopy=False)
        kept = study._storage.get_study_system_attrs(study._study_id)
        by_id, by_number = f"{self._get_parent_cache_key_prefix()}{generation}", f"{_PARENTS}:{generation}"
        if by_number in kept:
            numbers = set(kept[by_number])
            return [trial for trial in trials if trial.number in numbers]
        ids = set(kept.get(by_id, ()))
        found = [trial for trial in trials if trial._trial_id in ids and self.generation_of(trial) < generation]
        if not ids or len(found) < len(ids):
            for earlier in range(1, generation):  # in a copy these are to be found anew too
                self.get_parent_population(study, earlier)
            found = self.select_parent(study, generation)
            study._storage.set_study_system_attr(study._study_id, by_id, [trial._trial_id for trial in found])
        study._storage.set_study_system_attr(study._study_id, by_number, [trial.number for trial in found])
        return found

    def select_parent(self, study: Study, generation: int) -> list[FrozenTrial]:
        """Optuna's elite of the last generation and its parents.

        Its crowding sort breaks ties by position, so the candidates are put in an order that does not depend on when
        they were evaluated.
        """
        population = self.get_population(study, generation - 1) + self.get_parent_population(study, generation - 1)
        return self.select(study, population)

    def select(self, study: Study, population: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """Optuna's elite of some trials, which are ordered by genome first."""
        # Optuna offers its strategy for trials of its own choice alone, and in its own order.
        return list(self._elite_population_selection_strategy(study, sorted(population, key=_genome)))

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The descriptors, the same for every trial."""
        del study, trial
        return self.distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Give the trial a genome, and return the genome's descriptors."""
        del search_space
        generation = self.get_trial_generation(study, trial)
        if attributes.GENOME in trial.user_attrs:
            candidate = self.candidate(trial)
        else:
            candidate, found = self._next_candidate(study, generation)
            for name, value in found.items():
                study._storage.set_trial_user_attr(trial._trial_id, name, value)
        return self._describe(candidate)

    def _describe(self, candidate: Candidate) -> dict[str, float]:
        return dict(describe(self._space.descriptors, self._space.genes([candidate])[0]))

    def _next_candidate(self, study: Study, generation: int) -> tuple[Candidate, dict[str, Any]]:
        """The first candidate of the generation that no trial holds yet, and the attributes of its trial.

        A resumed study comes to the same one. Trials that were cut off by a crash are marked as failed without a
        reason and their genomes are free again.
        """
        if generation not in self._plans:
            self._plans[generation] = self._make_plan(study, generation)
        taken = self._taken(study)
        while True:
            plan = self._plans[generation]
            for proposal in plan.proposals:
                if proposal.candidate not in taken:
                    genome = self._space.write(proposal.candidate)
                    self._candidates[genome] = proposal.candidate
                    return proposal.candidate, {attributes.GENOME: genome, **_attributes(proposal)}
            # All of them failed, as in an outage, or others have proposed the same.
            more = self._make_plan(study, generation, plan.proposals)
            if not more.proposals:
                raise StudyError(
                    f"Generation {generation} has no candidate left that was not evaluated before; the search space is "
                    "exhausted, or nearly all of it failed. Use fewer evaluations or a larger pool."
                )
            self._plans[generation] = replace(plan, proposals=(*plan.proposals, *more.proposals))

    def _make_plan(self, study: Study, generation: int, used: Sequence[Proposal[Candidate]] = ()) -> Plan[Candidate]:
        """The candidates of a generation, or more beside those that were proposed before, in each process alike."""
        return self.request(study, generation, self.get_parent_population(study, generation), used)()

    def _stream(self, generation: int, used: Sequence[Proposal[Candidate]] = ()) -> np.random.Generator:
        """The randomness of a generation, and of what is proposed for it beside what was before."""
        return np.random.default_rng([self._config.seed, generation, *([len(used)] if used else [])])

    def _taken(self, study: Study) -> set[Candidate]:
        """The candidates of all trials but those that were cut off."""
        return set(map(self.candidate, _with_genome(study.get_trials(deepcopy=False))))


def distributions(descriptors: Mapping[str, Descriptor]) -> dict[str, BaseDistribution]:
    """The parameters of every trial."""
    return {name: FloatDistribution(each.low, each.high) for name, each in descriptors.items()}


def describe(descriptors: Mapping[str, Descriptor], genes: NDArray[Any]) -> dict[str, float]:
    """The numbers of one candidate by name.

    Raises:
        StudyError: one is outside its range.
    """
    found = {}
    for name, descriptor in descriptors.items():
        value = float(descriptor.of(genes))
        if not descriptor.low <= value <= descriptor.high:
            raise StudyError(
                f"The descriptor {name!r} is {value:g} for a genome; it was said to be from {descriptor.low:g} to "
                f"{descriptor.high:g}."
            )
        found[name] = value
    return found


def share_of(mask: NDArray[np.bool_]) -> Descriptor:
    """The share of ones among the bits where ``mask``, of the genes' shape, is True; 0 where that is nowhere."""
    return Descriptor(partial(_share, mask))


def _share(mask: NDArray[np.bool_], bits: NDArray[np.bool_]) -> float:
    chosen = bits[mask]
    return float(chosen.mean()) if chosen.size else 0.0


def _with_genome(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Trials that have a genome, without those that were cut off."""
    return [
        trial
        for trial in trials
        if attributes.GENOME in trial.user_attrs and not trial.user_attrs.get(attributes.INTERRUPTED)
    ]


def _genome(trial: FrozenTrial) -> str:
    return str(trial.user_attrs[attributes.GENOME])


def _attributes(proposal: Proposal[Any]) -> Mapping[str, Any]:
    found: dict[str, Any] = {attributes.ORIGIN: proposal.origin, attributes.FILTERED: proposal.filtered}
    if proposal.operator:
        found[attributes.OPERATOR] = proposal.operator
    return found | dict(proposal.predicted)
