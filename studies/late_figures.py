"""Figures of generations that a kill kept from being stored: after their last trial was told, before they were kept."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

from optuna.trial import FrozenTrial, TrialState

from storage import GenerationRecord
from studies import attributes
from studies.config import SearchConfig
from studies.figures import Figures
from studies.quality import Scale
from studies.trials import image_share, is_feasible, values_of
from surrogate import Accuracy

__all__ = ["late_figures"]


def late_figures(
    trials: Sequence[FrozenTrial],
    missing: Collection[int],
    generation_of: Callable[[FrozenTrial], int],
    accuracy_before: Callable[[int], Accuracy],
    config: SearchConfig,
    scale: Scale,
) -> Iterator[GenerationRecord]:
    """What the search would have stored of generations that are over.

    Args:
        trials: all that were evaluated.
        missing: numbers of the generations.
        generation_of: the generation of a trial.
        accuracy_before: of the surrogate before a generation.
        config: the settings of the search.
        scale: of its rewards and costs.
    """
    order = sorted(trials, key=lambda trial: _moment(trial, generation_of, config))
    last = {generation_of(trial): index for index, trial in enumerate(order)}
    figures = Figures(scale, config.evaluations)
    for index, trial in enumerate(order):
        generation, (reward, cost) = generation_of(trial), values_of(trial)
        whole, feasible = trial.state is TrialState.COMPLETE, is_feasible(trial)
        figures.add(generation, reward, cost, share=image_share(trial), whole=whole, feasible=feasible)
        if generation not in missing or last[generation] != index:
            continue
        status = figures.status("", accuracy_before(generation))
        members = [each for each in trials if generation_of(each) == generation]
        yield GenerationRecord(
            generation=generation,
            evaluations=status.evaluations,
            hypervolume=status.hypervolume,
            rank_correlation=status.rank_correlation,
            coverage=status.coverage,
            surrogate_used=any(each.user_attrs.get(attributes.FILTERED) for each in members),
        )


def _moment(trial: FrozenTrial, generation_of: Callable[[FrozenTrial], int], config: SearchConfig) -> tuple[float, int]:
    """Generations that do not overlap are ordered by number, whatever the clock said."""
    ended = trial.datetime_complete.timestamp() if trial.datetime_complete else 0.0
    return (ended if config.asynchronous else float(generation_of(trial))), trial.number
