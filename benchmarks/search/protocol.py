"""How runs are compared on captions that no search has seen: the statistics of every table of this project.

All figures are of losses, ``(captions, noises)``: by how much the images of a run are worse than the uncached ones of
the same captions and noises. The noises of a caption are averaged first, since images of one caption are alike;
captions are what intervals are over. Few captions carry most of a mean, so the median, a trimmed mean and the worst
tenth stand beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

__all__ = [
    "SPEEDUPS",
    "TOLERANCE",
    "Comparison",
    "Loss",
    "best_within",
    "compare",
    "loss_of",
    "resampled_hypervolume",
]

Floats = NDArray[np.float64]

#: MACs saved, at which runs are compared.
SPEEDUPS = (1.3, 1.5, 2.0, 3.0, 4.0)
#: Costs of the same runs that are counted in two ways differ by rounding; nothing else may cost more than is allowed.
TOLERANCE = 1e-6
_CONFIDENCE = 0.95
_RESAMPLES = 9999
_TRIM = 0.05


@dataclass(frozen=True)
class Loss:
    """The loss of one run.

    Args:
        captions: how many.
        median: over captions.
        mean: over captions.
        low: lower end of the 95 % bootstrap interval (BCa, Efron 1987) of the mean over captions.
        high: upper end.
        trimmed: mean without the 5 % of captions at either end.
        worst_tenth: mean of the tenth of captions that lose most.
    """

    captions: int
    median: float
    mean: float
    low: float
    high: float
    trimmed: float
    worst_tenth: float


@dataclass(frozen=True)
class Comparison:
    """One run beside another on the same captions and noises.

    Args:
        difference: mean loss of the first less that of the second; below 0 the first is better.
        low: lower end of the 95 % paired bootstrap interval over captions.
        high: upper end.
        won: share of captions on which the first loses less, ties counted half.
        p: of Wilcoxon's signed-rank test, two-sided; 1 where no caption differs.
    """

    difference: float
    low: float
    high: float
    won: float
    p: float

    @property
    def decided(self) -> bool:
        """Whether the interval leaves out 0."""
        return not self.low <= 0 <= self.high


def loss_of(losses: Floats, *, seed: int = 0) -> Loss:
    """Summarize one run.

    Args:
        losses: ``(captions, noises)``, higher is worse.
        seed: of the resampling.

    Raises:
        ValueError: there are fewer than two captions.
    """
    by_caption = _by_caption(losses)
    low, high = _interval(by_caption, seed)
    worst = np.sort(by_caption)[-max(1, round(len(by_caption) / 10)) :]
    return Loss(
        len(by_caption),
        float(np.median(by_caption)),
        float(by_caption.mean()),
        low,
        high,
        float(stats.trim_mean(by_caption, _TRIM)),
        float(worst.mean()),
    )


def compare(first: Floats, second: Floats, *, seed: int = 0) -> Comparison:
    """Compare two runs.

    Args:
        first: ``(captions, noises)`` losses.
        second: of the same shape, on the same captions and noises.
        seed: of the resampling.

    Raises:
        ValueError: the shapes differ, or there are fewer than two captions.
    """
    if first.shape != second.shape:
        raise ValueError(f"losses of the shapes {first.shape} and {second.shape} are not paired")
    difference = _by_caption(first) - _by_caption(second)
    low, high = _interval(difference, seed)
    p = float(stats.wilcoxon(difference).pvalue) if difference.any() else 1.0
    won = float((difference < 0).mean() + (difference == 0).mean() / 2)
    return Comparison(float(difference.mean()), low, high, won, p)


def best_within(costs: Sequence[float], rewards: Sequence[float], full: float, speedup: float) -> int | None:
    """Which run stands for a search at a saving: that of the highest reward in the search at equal or lower cost.

    Args:
        costs: of the search's candidates.
        rewards: of the same, as the search has measured them.
        full: cost of the uncached run.
        speedup: how many times less the run must cost.

    Returns:
        The index of the candidate, the cheaper of two equals; None where none is that cheap.
    """
    allowed = full / speedup * (1 + TOLERANCE)
    fitting = [index for index, cost in enumerate(costs) if cost <= allowed]
    return max(fitting, key=lambda index: (rewards[index], -costs[index]), default=None)


def resampled_hypervolume(
    losses: Sequence[Floats], savings: Sequence[float], floors: Sequence[float], *, resamples: int = 1000, seed: int = 0
) -> dict[float, tuple[float, float, float]]:
    """The share of the rectangle between no loss and a floor, and no cost and full cost, that runs dominate.

    Who is ahead depends on the floor, so it is an axis and not a choice.

    Args:
        losses: of each run ``(captions, noises)``.
        savings: of each run, how many times cheaper than the uncached run it is.
        floors: losses from which a run is worth nothing.
        resamples: sets of captions that are drawn.
        seed: of the resampling.

    Returns:
        By floor the hypervolume and the ends of its 95 % bootstrap interval over captions.
    """
    by_caption = np.stack([_by_caption(each) for each in losses])
    cost = 1 / np.asarray(savings, dtype=np.float64)
    captions = by_caption.shape[1]
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(captions, np.full(captions, 1 / captions), size=resamples)
    means = np.vstack([by_caption.mean(axis=1), draws @ by_caption.T / captions])
    found = {}
    for floor in floors:
        volumes = np.array([_dominated(row, cost, floor) for row in means])
        low, high = np.quantile(volumes[1:], [(1 - _CONFIDENCE) / 2, (1 + _CONFIDENCE) / 2])
        found[floor] = (float(volumes[0]), float(low), float(high))
    return found


def _dominated(loss: Floats, cost: Floats, floor: float) -> float:
    """Area that points dominate in the unit square whose axes are cost and loss over floor; the uncached run counts."""
    order = np.argsort(cost, kind="stable")
    edges = np.append(cost[order], 1.0)
    best = np.minimum.accumulate(np.clip(loss[order] / floor, 0.0, 1.0))
    return float(((1 - best) * np.maximum(np.diff(np.minimum(edges, 1.0)), 0.0)).sum())


def _by_caption(losses: Floats) -> Floats:
    found: Floats = np.asarray(losses, dtype=np.float64).reshape(len(losses), -1).mean(axis=1)
    if len(found) < 2:
        raise ValueError(f"{len(found)} captions were given; intervals over captions need at least 2")
    return found


def _interval(values: Floats, seed: int) -> tuple[float, float]:
    if np.ptp(values) == 0:
        return float(values[0]), float(values[0])
    found = stats.bootstrap(
        (values,), np.mean, confidence_level=_CONFIDENCE, n_resamples=_RESAMPLES, method="BCa", rng=seed
    ).confidence_interval
    return float(found.low), float(found.high)
