"""A confirmation as views show it: verdicts on runs, and what they say of the front. Needs no torch or Optuna."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ecad_automl.judging.statistics import prompt_interval
from ecad_automl.views.run import Confirmed, RunView, interval_text
from ecad_automl.views.study import ConfirmedFront
from studies.confirmation import Confirmation, Verdicts, mean_optimism

#: Drops grow by orders of magnitude along a front, so that one mean would be that of the harshest schedules.
_BANDS = (("below 2x", 1.0, 2.0), ("2x to 5x", 2.0, 5.0), ("5x and more", 5.0, math.inf))


def confirmed_runs(verdicts: Verdicts, trials: Mapping[str, int]) -> dict[str, Confirmed]:
    """What unseen prompts say of each run that was scored on them, by genome or, for runs of fewer steps, name.

    Args:
        verdicts: on all of them.
        trials: numbers of trials by genome.
    """
    found = {}
    for verdict in verdicts.all:
        run, winner = verdict.run, verdict.beaten_by
        reward = prompt_interval(run.scores)
        found[run.key] = Confirmed(
            reward=verdict.reward,
            difference=verdict.difference.mean,
            half=verdict.difference.half,
            survives=verdict.survives,
            beaten_by=None
            if winner is None
            else f"trial {trials[winner.key]}"
            if winner.key in trials
            else winner.label,
            beaten_surely=verdict.beaten_surely,
            front_share=verdict.front_share,
            searched_difference=None if run.searched is None else float(run.searched.mean()),
            reward_interval=(reward.low, reward.high),
            images=run.scores.size,
        )
    return found


def confirmed_front(
    found: Confirmation, runs: Mapping[str, RunView], full_cost: float, same_steps: bool
) -> ConfirmedFront:
    """What unseen prompts say of the whole front.

    Args:
        found: the confirmation.
        runs: every run that was scored on them, by its key.
        full_cost: of the uncached run, in what the study minimizes.
        same_steps: whether runs of other numbers of steps were left out.
    """
    verdicts = found.verdicts
    kept, pairs = verdicts.neighbors_kept
    return ConfirmedFront(
        prompts=verdicts.prompts,
        seeds=verdicts.seeds,
        front=tuple(runs[verdict.run.key] for verdict in verdicts.front),
        others=tuple(runs[verdict.run.key] for verdict in verdicts.others),
        missing=found.missing,
        rank_correlation=verdicts.rank_correlation,
        neighbors=pairs,
        neighbors_kept=kept,
        sentences=tuple(_sentences(found, full_cost, "confirm --same-steps" if same_steps else "confirm")),
    )


def _sentences(found: Confirmation, full_cost: float, command: str) -> list[str]:
    """How much of the front survives, by how much it flattered itself, and whether its order held."""
    verdicts, front = found.verdicts, found.verdicts.front
    said = []
    if front:
        survivors = len(verdicts.survivors)
        beaten = [v for v in front if v.beaten_by is not None]
        by_front = sum(v.beaten_by is not None and v.beaten_by.chosen for v in beaten)
        said.append(
            f"{survivors} of {len(front)} schedules survive ({survivors / len(front):.0%}); {by_front} are beaten by "
            f"another schedule of the front, {len(beaten) - by_front} by what it is compared with, "
            f"{sum(v.beaten_surely for v in beaten)} of these also after Holm's correction."
        )
    if found.missing:
        said.append(f"{found.missing} of the front are not confirmed yet; `ecad-automl {command}` goes on with them.")
    for name, low, high in _BANDS:
        optimism, control = (
            mean_optimism([v for v in group if low <= full_cost / v.run.cost < high])
            for group in (front, verdicts.others)
        )
        if optimism:
            beside = ""
            if control:
                beside = f"; runs that were not chosen by their scores by {interval_text(control.mean, control.half)}"
            said.append(
                f"Seemed better in the search, {name}: the front by {interval_text(optimism.mean, optimism.half)}"
                f"{beside}."
            )
    kept, pairs = verdicts.neighbors_kept
    if pairs:
        said.append(
            f"Rank correlation of search and confirmation: {verdicts.rank_correlation:.2f} over the front; of "
            f"{pairs} pairs of neighbors {kept} kept their order."
        )
    return said
