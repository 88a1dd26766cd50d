"""The Optuna sampler: NSGA-II over genomes, which are trial attributes, with readable descriptors as parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import NSGAIISampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from ecad_automl.errors import StudyError
from ecad_automl.layout import Layout
from ecad_automl.schedule import Schedule
from studies import attributes
from studies.descriptors import descriptor_ranges, descriptors
from studies.proposer import Plan, Proposal
from studies.trials import EVALUATED

__all__ = ["ScheduleNSGAIISampler"]

Propose = Callable[[int, Sequence[FrozenTrial]], Plan]


class ScheduleNSGAIISampler(NSGAIISampler):
    """NSGA-II whose individuals are caching schedules.

    A trial's genome is a user attribute; its parameters are descriptors of that genome, which this sampler returns as
    if it had sampled them. Enqueued trials bring their genome along (the seeds); all others get the next candidate of
    their generation from ``propose``. Selection of parents is Optuna's own, on trials.

    Optuna files generations under the name of this class: renaming it orphans stored studies.

    Args:
        layout: the slots.
        steps: denoising steps.
        batch: trials per bred generation.
        parents: size of the elite.
        propose: from the number of a generation and its parents to the candidates of that generation; called once
            per generation and process.
    """

    def __init__(self, layout: Layout, steps: int, *, batch: int, parents: int, propose: Propose) -> None:
        super().__init__(population_size=parents)
        self._layout = layout
        self._steps = steps
        self._batch = batch
        self._propose = propose
        self._plans: dict[int, Plan] = {}

    def plan(self, generation: int) -> Plan | None:
        """The candidates of a generation that this process has made, for its figures."""
        return self._plans.get(generation)

    def prepare(self, generation: int, plan: Plan) -> None:
        """Give the candidates of a generation, so that they need not be proposed when the first is asked for."""
        self._plans[generation] = plan

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The descriptors, the same for every trial."""
        del study, trial
        return descriptor_space(self._layout, self._steps)

    def get_trial_generation(self, study: Study, trial: FrozenTrial) -> int:
        """Seeds are generation 0; bred trials fill generations of ``batch`` evaluated ones."""
        stored = trial.system_attrs.get(self._get_generation_key())
        if stored is not None:
            return int(stored)
        generation = 0 if attributes.GENOME in trial.user_attrs else self.open_generation(study, use_cache=True)
        study._storage.set_trial_system_attr(trial._trial_id, self._get_generation_key(), generation)
        return generation

    def open_generation(self, study: Study, *, use_cache: bool = False) -> int:
        """The generation that the next bred trial is of: the last one until it has ``batch`` trials, then a new one.

        Trials that are being evaluated count as those that have been; those that failed do not.

        Args:
            study: the study.
            use_cache: whether trials may be those that Optuna read when it was last asked for one.
        """
        key, last, members = self._get_generation_key(), 1, 0
        states = (*EVALUATED, TrialState.RUNNING)
        for trial in study._get_trials(deepcopy=False, states=states, use_cache=use_cache):
            generation = trial.system_attrs.get(key, 0)
            if generation > last:
                last, members = generation, 1
            elif generation == last:
                members += 1
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
        if genome is not None:
            schedule = Schedule.from_hex(self._layout, self._steps, genome)
        else:
            proposal = self._next_proposal(study, generation)
            schedule = proposal.schedule
            for name, value in _bred_attributes(proposal).items():
                study._storage.set_trial_user_attr(trial._trial_id, name, value)
        return dict(descriptors(schedule.effective, self._layout.components, self._layout.component_index))

    def _next_proposal(self, study: Study, generation: int) -> Proposal:
        """The first candidate of the generation that no trial holds yet; a resumed study comes to the same one.

        Trials that were cut off by a crash are marked as failed without a reason and their genomes are free again.
        """
        if generation not in self._plans:
            # Parents are read as Optuna selects them, then ordered by genome, so that trial numbers do not matter.
            elite = self.get_parent_population(study, generation)
            self._plans[generation] = self._propose(generation, elite)
        trials = study._get_trials(deepcopy=False, use_cache=True)
        taken = {
            trial.user_attrs.get(attributes.GENOME)
            for trial in trials
            if not trial.user_attrs.get(attributes.INTERRUPTED)
        }
        for proposal in self._plans[generation].proposals:
            if proposal.schedule.to_hex() not in taken:
                return proposal
        raise StudyError(
            f"Generation {generation} has no candidate left that was not evaluated before; the search space is "
            "exhausted, or nearly all candidates failed. Use fewer evaluations or a larger pool."
        )


def descriptor_space(layout: Layout, steps: int) -> dict[str, BaseDistribution]:
    """The parameters of every trial."""
    ranges = descriptor_ranges(layout.components, steps)
    return {name: FloatDistribution(low, high) for name, (low, high) in ranges.items()}


def _bred_attributes(proposal: Proposal) -> dict[str, Any]:
    found: dict[str, Any] = {
        attributes.GENOME: proposal.schedule.to_hex(),
        attributes.ORIGIN: "bred",
        attributes.OPERATOR: proposal.operator,
        attributes.FILTERED: proposal.filtered,
    }
    if proposal.predicted_reward is not None:
        found[attributes.PREDICTED_REWARD] = proposal.predicted_reward
        found[attributes.PREDICTED_STD] = proposal.predicted_std
    return found
