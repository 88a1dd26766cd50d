"""How much of a front survives on prompts that the search never saw; pure functions on scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ecad_automl.judging.statistics import Interval, holm, probability_better, prompt_interval, unpaired_interval

Floats = NDArray[np.float64]

_CONFIDENCE = 0.95
_RESAMPLES = 2000


@dataclass(frozen=True, eq=False)
class Run:
    """One run that was scored on unseen prompts.

    Args:
        key: what the caller knows it by.
        label: a name for people.
        cost: what is minimized, known exactly.
        scores: ``(prompts, seeds)`` rewards on the unseen prompts.
        chosen: whether the search chose it: a schedule of the apparent front.
        searched: ``(prompts, seeds)`` differences to the uncached run on the prompts of the search, None where the
            search did not run it.
    """

    key: str
    label: str
    cost: float
    scores: Floats
    chosen: bool = False
    searched: Floats | None = None


@dataclass(frozen=True, eq=False)
class Verdict:
    """What unseen prompts say of one run.

    Args:
        run: the run.
        reward: mean reward.
        difference: to the uncached run, paired.
        differences: ``(prompts, seeds)``, what that is the mean of.
        beaten_by: the run of at most its cost that is better most surely, if one is by more than the paired interval,
            or as good on every prompt for less; None for a run that survives.
        beaten_surely: whether it is beaten also after Holm's correction over all comparisons.
        front_share: see :func:`front_share`.
    """

    run: Run
    reward: float
    difference: Interval
    differences: Floats
    beaten_by: Run | None
    beaten_surely: bool
    front_share: float

    @property
    def survives(self) -> bool:
        """Whether no run of at most its cost is better by more than the paired interval."""
        return self.beaten_by is None

    @property
    def optimism(self) -> float | None:
        """How much closer to the uncached run it seemed in the search than it is on unseen prompts."""
        return None if self.run.searched is None else float(self.run.searched.mean()) - self.difference.mean


@dataclass(frozen=True, eq=False)
class Verdicts:
    """All runs of one set of unseen prompts and seeds.

    Args:
        all: of every run, the cheapest first.
        prompts: how many.
        seeds: of each prompt.
    """

    all: tuple[Verdict, ...]
    prompts: int
    seeds: int

    @property
    def front(self) -> tuple[Verdict, ...]:
        """Those that the search chose, the cheapest first."""
        return tuple(verdict for verdict in self.all if verdict.run.chosen)

    @property
    def others(self) -> tuple[Verdict, ...]:
        """Those to compare with, the cheapest first."""
        return tuple(verdict for verdict in self.all if not verdict.run.chosen)

    @property
    def survivors(self) -> tuple[Verdict, ...]:
        """The part of the front that survives."""
        return tuple(verdict for verdict in self.front if verdict.survives)

    def of(self, key: str) -> Verdict | None:
        """The verdict on a run, by its key."""
        return next((verdict for verdict in self.all if verdict.run.key == key), None)

    @property
    def rank_correlation(self) -> float:
        """Kendall's tau of the front's differences in the search and on unseen prompts; NaN where not known.

        Cost alone tells most of the quality, so this is high for any front; see :attr:`neighbors_kept`.
        """
        known = [verdict for verdict in self.front if verdict.run.searched is not None]
        if len(known) < 2:
            return math.nan
        from scipy.stats import kendalltau

        searched = np.array([float(v.run.searched.mean()) for v in known if v.run.searched is not None])
        return float(kendalltau(searched, [verdict.difference.mean for verdict in known]).statistic)

    @property
    def neighbors_kept(self) -> tuple[int, int]:
        """How many pairs of neighbors on the front have the better mean at the dearer one still, and of how many."""
        means = [verdict.difference.mean for verdict in self.front]
        return sum(dear > cheap for cheap, dear in pairwise(means)), max(0, len(means) - 1)


def judge(runs: Sequence[Run], uncached: Floats, *, resamples: int = _RESAMPLES) -> Verdicts:
    """Compare all runs with the uncached one and with each other.

    A run is beaten if one of at most its cost has the higher mean reward and the confidence interval of their paired
    difference lies above 0. Each pair has an interval of its own: with many rivals, one of them passes it by chance
    more often than 5 %, so this rule throws out too many rather than too few. Which runs are beaten also when the
    chance of any wrong finding among all comparisons is held at 5 %, by Holm's method, is told beside it.

    Args:
        runs: at least one, all on the same prompts and seeds.
        uncached: ``(prompts, seeds)`` rewards of the uncached run on them.
        resamples: see :func:`front_share`.

    Raises:
        ValueError: there are fewer than two prompts.
    """
    ordered = sorted(runs, key=lambda run: (run.cost, -float(run.scores.mean())))
    by_prompt = np.stack([run.scores.mean(axis=1) for run in ordered])
    cost = np.array([run.cost for run in ordered])
    better = probability_better(by_prompt)
    rival = (cost[:, None] <= cost[None]) & ~np.eye(len(cost), dtype=np.bool_)
    # The lower end of a two-sided interval lies above 0.
    beats = rival & (better > 0.5 + _CONFIDENCE / 2)
    # As good on each prompt for less: nothing is left to weigh.
    same = (by_prompt[:, None] == by_prompt[None]).all(axis=2)
    beats |= same & (cost[:, None] < cost[None])
    # The complement of the probability that the other is better has more digits than one minus its own.
    doubt = np.where(same & beats, 0.0, np.minimum(1.0, 2 * better.T))
    sure = np.zeros_like(rival)
    sure[rival] = holm(doubt[rival]) <= 1 - _CONFIDENCE
    shares = front_share(by_prompt, cost, resamples=resamples)
    verdicts = []
    for index, run in enumerate(ordered):
        winners = np.flatnonzero(beats[:, index])
        winner = ordered[winners[doubt[winners, index].argmin()]] if len(winners) else None
        verdicts.append(
            Verdict(
                run,
                float(run.scores.mean()),
                prompt_interval(run.scores - uncached, _CONFIDENCE),
                run.scores - uncached,
                winner,
                bool((beats & sure)[:, index].any()),
                float(shares[index]),
            )
        )
    return Verdicts(tuple(verdicts), *uncached.shape)


def front_share(by_prompt: Floats, cost: Floats, *, resamples: int = _RESAMPLES) -> Floats:
    """In what share of resampled prompt sets each run is on the front.

    That is, no other one has at least its mean reward for at most its cost. Prompts are drawn for all runs at once, so
    what runs have in common cancels out.

    Args:
        by_prompt: ``(n, prompts)`` rewards on the same prompts and seeds.
        cost: ``(n,)``.
        resamples: how many sets are drawn; always the same ones.

    Returns:
        ``(n,)`` from 0 to 1.
    """
    runs, prompts = by_prompt.shape
    draws = np.random.default_rng(0).multinomial(prompts, np.full(prompts, 1 / prompts), size=resamples)
    means = draws @ by_prompt.T / prompts
    shares = np.empty(runs)
    for index in range(runs):
        cheaper, alike = cost < cost[index], cost == cost[index]
        alike[index] = False
        mine = means[:, [index]]
        beaten = (means[:, cheaper] >= mine).any(axis=1) | (means[:, alike] > mine).any(axis=1)
        shares[index] = 1 - beaten.mean()
    return shares


def mean_optimism(verdicts: Sequence[Verdict]) -> Interval | None:
    """The mean optimism of some runs, with Welch's interval over the prompts of the search and the unseen ones.

    Runs that nobody chose by their scores tell what other prompts alone change.

    Args:
        verdicts: any; those that the search did not run are left out.

    Returns:
        None where none is left, or the search had a single prompt.
    """
    known = [(v.run.searched, v.differences) for v in verdicts if v.run.searched is not None]
    if not known or len(known[0][0]) < 2:
        return None
    seen, unseen = (np.mean(side, axis=0) for side in zip(*known, strict=True))
    return unpaired_interval(seen, unseen)
