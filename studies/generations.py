"""The record of generations: which one is open, and what the search had reached by the end of each."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from optuna.trial import FrozenTrial, TrialState

from storage import GenerationRecord
from studies import attributes
from studies.prepared import PreparedStudy
from studies.progress import Progress, SearchStatus
from studies.trials import budget_share, evaluated_trials, is_feasible, values_of
from surrogate import Accuracy


class Generations:
    """The generations of one study, those of earlier runs included."""

    def __init__(self, prepared: PreparedStudy) -> None:
        self._prepared = prepared
        self._accuracy = Accuracy()
        self.progress = Progress(prepared.scale, prepared.config.evaluations)
        for trial in evaluated_trials(prepared.study):
            _add(self.progress, trial, self.of(trial))

    def of(self, trial: FrozenTrial) -> int:
        """The generation of a trial; 0 are the seeds."""
        return self._prepared.sampler.generation_of(trial)

    def open(self, pending: Collection[int]) -> int:
        """What the sampler would say: the last generation until it is full, then a new one."""
        last = max(1, self.progress.generation, *pending)
        members = self.progress.members(last) + sum(generation == last for generation in pending)
        return last + (members >= self._prepared.config.offspring)

    def planned(self, generation: int) -> str | None:
        """Note how good the surrogate was when a generation was planned; what its user should know of it."""
        plan = self._prepared.sampler.plan(generation)
        assert plan is not None
        self._accuracy = plan.accuracy[0]
        if self._accuracy.usable:
            return None
        return (
            f"Generation {generation} goes without the surrogate: its rank correlation at equal cost is "
            f"{self._accuracy.rank_correlation:.2f}, below {self._prepared.config.min_rank_correlation:.2f} by more "
            "than chance."
        )

    def status(self, text: str) -> SearchStatus:
        """What is reached, for people."""
        return self.progress.status(text, self._accuracy)

    def close(self, generation: int, seeds_left: int, overhead: float) -> bool:
        """Store what was reached, where the generation of the latest candidate has been evaluated; whether it has."""
        offspring = self._prepared.config.offspring
        if self.progress.members(generation) < offspring if generation else seeds_left > 0:
            return False
        plan = self._prepared.sampler.plan(generation)
        used = plan is not None and plan.surrogate_used
        seconds = {"propose": plan.seconds if plan else 0.0, "last overhead": overhead}
        self._save(_record(generation, self.status(""), surrogate_used=used, seconds=seconds))
        return True

    def save_missing(self, seeds_left: int) -> None:
        """Store what was reached by the end of generations where an earlier run was killed before it did."""
        store, name = self._prepared.store, self._prepared.name
        over = range(1 if seeds_left else 0, self.open(()) if self.progress.evaluations else 0)
        missing = set(over) - {record.generation for record in store.generations(name)}
        if missing:
            for record in self._missing(missing):
                self._save(record)

    def _save(self, record: GenerationRecord) -> None:
        self._prepared.store.save_generation(self._prepared.name, record)

    def _missing(self, missing: Collection[int]) -> Iterator[GenerationRecord]:
        study, sampler, config = self._prepared.study, self._prepared.sampler, self._prepared.config
        trials = sorted(evaluated_trials(study), key=self._moment)
        last = {self.of(trial): trial.number for trial in trials}
        progress = Progress(self._prepared.scale, config.evaluations)
        for trial in trials:
            generation = self.of(trial)
            _add(progress, trial, generation)
            if generation in missing and last[generation] == trial.number:
                accuracy = sampler.space.accuracy(sampler.past(study, generation), config.min_rank_correlation)[0]
                filtered = [each.user_attrs.get(attributes.FILTERED) for each in trials if self.of(each) == generation]
                yield _record(generation, progress.status("", accuracy), surrogate_used=any(filtered))

    def _moment(self, trial: FrozenTrial) -> tuple[float, int]:
        """Generations that do not overlap are ordered by number, whatever the clock said."""
        ended = trial.datetime_complete.timestamp() if trial.datetime_complete else 0.0
        return (ended if self._prepared.config.asynchronous else float(self.of(trial))), trial.number


def _add(progress: Progress, trial: FrozenTrial, generation: int) -> None:
    whole = trial.state is TrialState.COMPLETE
    progress.add(generation, *values_of(trial), share=budget_share(trial), whole=whole, feasible=is_feasible(trial))


def _record(
    generation: int, status: SearchStatus, *, surrogate_used: bool, seconds: dict[str, float] | None = None
) -> GenerationRecord:
    return GenerationRecord(
        generation=generation,
        evaluations=status.evaluations,
        hypervolume=status.hypervolume,
        rank_correlation=status.rank_correlation,
        coverage=status.coverage,
        surrogate_used=surrogate_used,
        seconds=seconds or {},
    )
