"""NSGA-II over genomes, which are trial attributes, with readable descriptors as parameters."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from optuna.distributions import BaseDistribution
from optuna.samplers import NSGAIISampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from ecad_automl.errors import StudyError
from studies import attributes
from studies.trials import EVALUATED

__all__ = ["GenomeSampler"]

P = TypeVar("P")


class GenomeSampler(NSGAIISampler, Generic[P]):
    """NSGA-II whose individuals are genomes.

    A trial's genome is a user attribute; its parameters are descriptors of that genome, which this sampler returns as
    if it had sampled them. Enqueued trials bring their genome along (the seeds); all others get the next candidate of
    the plan of their generation. Selection of parents is Optuna's own, on trials.

    Optuna files generations under the name of the subclass: renaming one orphans stored studies.

    Args:
        batch: trials per bred generation.
        parents: size of the elite.
        initial: trials of generation 0, seeds included; with 0, seeds are all that it has.
        use_cache: whether trials may be those that Optuna read when it was last asked for one. Where several threads or
            processes ask, they must not be.
    """

    def __init__(self, *, batch: int, parents: int, initial: int = 0, use_cache: bool = True) -> None:
        super().__init__(population_size=parents)
        self._batch = batch
        self._initial = initial
        self._use_cache = use_cache
        self._plans: dict[int, P] = {}

    @abstractmethod
    def _make_plan(self, study: Study, generation: int, elite: Sequence[FrozenTrial]) -> P:
        """The candidates of a generation, from its parents; called once per generation and process."""

    @abstractmethod
    def _candidates(self, plan: P) -> Iterable[tuple[str, Mapping[str, Any]]]:
        """The candidates of a plan in the order in which to evaluate them: genome and other attributes of the trial."""

    @abstractmethod
    def _describe(self, genome: str) -> dict[str, Any]:
        """The descriptors of a genome by name."""

    def plan(self, generation: int) -> P | None:
        """The candidates of a generation that this process has made, for its figures."""
        return self._plans.get(generation)

    def prepare(self, generation: int, plan: P) -> None:
        """Give the candidates of a generation, so that they need not be proposed when the first is asked for."""
        self._plans[generation] = plan

    def get_trial_generation(self, study: Study, trial: FrozenTrial) -> int:
        """Seeds are generation 0; bred trials fill generations of ``batch`` evaluated ones."""
        stored = trial.system_attrs.get(self._get_generation_key())
        if stored is not None:
            return int(stored)
        seed = attributes.GENOME in trial.user_attrs
        generation = 0 if seed else self.open_generation(study, use_cache=self._use_cache)
        study._storage.set_trial_system_attr(trial._trial_id, self._get_generation_key(), generation)
        return generation

    def open_generation(self, study: Study, *, use_cache: bool = False) -> int:
        """The generation that the next bred trial is of: the last one until it has ``batch`` trials, then a new one.

        Trials that are being evaluated count as those that have been; those that failed do not.

        Args:
            study: the study.
            use_cache: whether trials may be those that Optuna read when it was last asked for one.
        """
        key, first, last, members = self._get_generation_key(), 0, 1, 0
        states = (*EVALUATED, TrialState.RUNNING)
        for trial in study._get_trials(deepcopy=False, states=states, use_cache=use_cache):
            generation = trial.system_attrs.get(key, -1)
            first += generation == 0
            if generation > last:
                last, members = generation, 1
            elif generation == last:
                members += 1
        if last == 1 and not members and first < self._initial:
            return 0
        return last + (members >= self._batch)

    def select_parent(self, study: Study, generation: int) -> list[FrozenTrial]:
        """Optuna's elite of the last generation and its parents.

        Its crowding sort breaks ties by position, so the candidates are put in an order that does not depend on when
        they were evaluated.
        """
        population = self.get_population(study, generation - 1) + self.get_parent_population(study, generation - 1)
        population.sort(key=lambda trial: str(trial.user_attrs[attributes.GENOME]))
        return list(self._elite_population_selection_strategy(study, population))

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Give the trial a genome, and return the genome's descriptors."""
        del search_space
        generation = self.get_trial_generation(study, trial)
        genome = trial.user_attrs.get(attributes.GENOME)
        if genome is None:
            genome, found = self._next_candidate(study, generation)
            for name, value in {attributes.GENOME: genome, **found}.items():
                study._storage.set_trial_user_attr(trial._trial_id, name, value)
        return self._describe(genome)

    def _next_candidate(self, study: Study, generation: int) -> tuple[str, Mapping[str, Any]]:
        """The first candidate of the generation that no trial holds yet; a resumed study comes to the same one.

        Trials that were cut off by a crash are marked as failed without a reason and their genomes are free again.
        """
        if generation not in self._plans:
            # Parents are read as Optuna selects them, then ordered by genome, so that trial numbers do not matter.
            elite = self.get_parent_population(study, generation)
            self._plans[generation] = self._make_plan(study, generation, elite)
        taken = self._taken_genomes(study)
        for genome, found in self._candidates(self._plans[generation]):
            if genome not in taken:
                return genome, found
        raise StudyError(
            f"Generation {generation} has no candidate left that was not evaluated before; the search space is "
            "exhausted, or nearly all candidates failed. Use fewer evaluations or a larger pool."
        )

    def _taken_genomes(self, study: Study) -> set[str]:
        """Genomes of all trials but those that were cut off."""
        trials = study._get_trials(deepcopy=False, use_cache=self._use_cache)
        return {
            str(trial.user_attrs[attributes.GENOME])
            for trial in trials
            if attributes.GENOME in trial.user_attrs and not trial.user_attrs.get(attributes.INTERRUPTED)
        }
