"""The search and ``quick`` beside the best of all that needs no search of ours, on held-out captions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.search import levers
from benchmarks.search.baseline_report import methods_of
from benchmarks.search.bed_runs import at
from benchmarks.search.protocol import SPEEDUPS

__all__ = ["table"]

Floats = NDArray[np.float64]

_OURS = ("quick", "uncached")
_RESAMPLES = 9999


def table(beds: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]]) -> list[str]:
    """Mean losses at each saving, in Markdown.

    Args:
        beds: by what a bed is called, the kept runs of searches, and those of what needs none, on the same captions or
            on more that begin with them.
    """
    columns = [levers.WHOLE, *levers.BUDGETS]
    lines = [
        f"| bed | at least | {' | '.join(columns)} | `quick` | best rival | search / rival (95 %) | captions won |",
        f"|---|---|{'---|' * (len(columns) + 4)}",
    ]
    for bed, (searches, others) in beds.items():
        for speedup in SPEEDUPS:
            ours = {name: _of_search(searches, name, speedup) for name in columns}
            whole = ours[levers.WHOLE]
            if whole is None:
                continue
            count = len(whole)
            quick = _of(others, at(others, "quick", speedup), count)
            rivals = {
                name: losses
                for method in methods_of(others)
                if method not in _OURS
                and (name := at(others, method, speedup)) is not None
                and (losses := _of(others, name, count)) is not None
            }
            best = min(rivals, key=lambda name: float(rivals[name].mean()))
            low, high = _ratio_interval(whole, rivals[best])
            cells = ["" if each is None else f"{each.mean():.4f}" for each in (*ours.values(), quick)]
            ratio = whole.mean() / rivals[best].mean()
            lines.append(
                f"| {bed} | {speedup:g}x | {' | '.join(cells)} | {best}, {rivals[best].mean():.4f} | "
                f"{ratio:.2f} ({low:.2f} to {high:.2f}) | {(whole < rivals[best]).mean():.0%} |"
            )
    return lines


def _of_search(runs: Mapping[str, Any], name: str, speedup: float) -> Floats | None:
    """``(captions,)`` losses, the mean over seeds and noises; None without any."""
    found = levers.over_seeds(runs, name, speedup)
    return None if found is None else np.asarray(found["loss"]).mean(axis=1)


def _of(runs: Mapping[str, Any], name: str | None, captions: int) -> Floats | None:
    """``(captions,)`` losses of one run, the mean over noises."""
    if name is None or "loss" not in runs[name]:
        return None
    losses: Floats = np.asarray(runs[name]["loss"])[:captions].mean(axis=1)
    return losses


def _ratio_interval(first: Floats, second: Floats) -> tuple[float, float]:
    """The 95 % bootstrap interval over captions (percentiles) of the ratio of two means, paired."""

    def ratio(one: Floats, other: Floats, axis: int) -> Floats:
        found: Floats = one.mean(axis=axis) / other.mean(axis=axis)
        return found

    found = stats.bootstrap(
        (first, second),
        ratio,
        paired=True,
        vectorized=True,
        n_resamples=_RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)
