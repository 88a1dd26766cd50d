"""Planning the next generation in a thread of its own, while results of the last ones are taken."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

from optuna.study import Study
from optuna.trial import TrialState

from ecad_automl.schedules.schedule import Schedule
from studies.breeding import Plan
from studies.sampler import ScheduleNSGAIISampler
from studies.trials import evaluated_trials


class Planner:
    """Has another thread plan one generation at a time.

    Args:
        study: whose generations they are.
        sampler: of the study, which breeds them.
        thread: plans them.
    """

    def __init__(self, study: Study, sampler: ScheduleNSGAIISampler, thread: ThreadPoolExecutor) -> None:
        self._study, self._sampler, self._thread = study, sampler, thread
        self._planned: tuple[int, Future[Plan[Schedule]]] | None = None

    @property
    def plans(self) -> bool:
        """Whether a generation is asked for and not given to the sampler yet."""
        return self._planned is not None

    def done(self, generation: int) -> bool:
        """Have a generation planned; whether the sampler has the plan by now."""
        if self._planned is None or self._planned[0] != generation:
            # Where generations overlap, none of them is a whole population: parents are chosen of all.
            complete = [trial for trial in evaluated_trials(self._study) if trial.state is TrialState.COMPLETE]
            elite = self._sampler.select(self._study, complete)
            request = self._sampler.request(self._study, generation, elite)
            self._planned = generation, self._thread.submit(request)
        _, future = self._planned
        if not future.done():
            return False
        self._planned = None
        self._sampler.prepare(generation, future.result())
        return True

    def wait(self) -> None:
        """Until what is being planned, if anything, can be had."""
        if self._planned is not None:
            self._planned[1].exception()
