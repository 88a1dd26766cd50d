"""The Optuna sampler: NSGA-II over genomes, which are trial attributes, with readable descriptors as parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule
from studies import attributes
from studies.binary.base import GenomeSampler
from studies.descriptors import descriptor_ranges, descriptors
from studies.proposer import Plan, Proposal

__all__ = ["ScheduleNSGAIISampler", "descriptor_space"]

Propose = Callable[[int, Sequence[FrozenTrial]], Plan]


class ScheduleNSGAIISampler(GenomeSampler[Plan]):
    """NSGA-II whose individuals are caching schedules.

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
        super().__init__(batch=batch, parents=parents)
        self._layout = layout
        self._steps = steps
        self._propose = propose
        self._taken: set[str] | None = None

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The descriptors, the same for every trial."""
        del study, trial
        return descriptor_space(self._layout, self._steps)

    def new_trial(self, study: Study, storage: BaseStorage, generation: int) -> Trial:
        """What ``study.ask`` gives where no seed is waiting, but written in one piece, and no trial is read for it.

        To ask, Optuna reads all trials anew that are running, several times: with hundreds of workers that would be
        most of what a search computes.

        Args:
            study: the study.
            storage: Optuna's, of the study.
            generation: that the trial is of, see :meth:`open_generation`.
        """
        genome, found = self._next_candidate(study, generation)
        schedule = Schedule.from_hex(self._layout, self._steps, genome)
        template = create_trial(
            state=TrialState.RUNNING,
            params=self._describe(genome),
            distributions=descriptor_space(self._layout, self._steps),
            user_attrs={
                attributes.GENOME: genome,
                **found,
                attributes.GENERATION: generation,
                attributes.SPEEDUP: round(schedule.mac_speedup, 4),
                attributes.MAC_FRACTION: round(schedule.mac_fraction, 6),
            },
            system_attrs={self._get_generation_key(): generation},
        )
        self._taken_genomes(study).add(genome)
        return Trial(study, storage.create_new_trial(storage.get_study_id_from_name(study.study_name), template))

    def _taken_genomes(self, study: Study) -> set[str]:
        """Read once: this process makes all trials of the study that come after."""
        if self._taken is None:
            self._taken = super()._taken_genomes(study)
        return self._taken

    def _make_plan(self, study: Study, generation: int, elite: Sequence[FrozenTrial]) -> Plan:
        del study
        return self._propose(generation, elite)

    def _candidates(self, plan: Plan) -> Iterator[tuple[str, Mapping[str, Any]]]:
        for proposal in plan.proposals:
            yield proposal.schedule.to_hex(), _bred_attributes(proposal)

    def _describe(self, genome: str) -> dict[str, Any]:
        schedule = Schedule.from_hex(self._layout, self._steps, genome)
        return dict(descriptors(schedule.effective, self._layout.components, self._layout.component_index))


def descriptor_space(layout: Layout, steps: int) -> dict[str, BaseDistribution]:
    """The parameters of every trial."""
    ranges = descriptor_ranges(layout.components, steps)
    return {name: FloatDistribution(low, high) for name, (low, high) in ranges.items()}


def _bred_attributes(proposal: Proposal) -> dict[str, Any]:
    found: dict[str, Any] = {
        attributes.ORIGIN: "bred",
        attributes.OPERATOR: proposal.operator,
        attributes.FILTERED: proposal.filtered,
    }
    if proposal.predicted_reward is not None:
        found[attributes.PREDICTED_REWARD] = proposal.predicted_reward
        found[attributes.PREDICTED_STD] = proposal.predicted_std
    return found
