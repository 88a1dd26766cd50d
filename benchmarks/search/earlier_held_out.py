"""Tables of earlier searches on held-out captions, by the reward ``shapes``, as kept in ``held_out-shapes.json``.

They were of schedules that only compute and reuse, with one noise, and what missed a saving by less than 2 % counted
for it. Searches on the test beds are judged by :mod:`benchmarks.search.held_out`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.search.our_search import OURS
from benchmarks.search.protocol import Comparison, Loss, compare, loss_of

__all__ = ["Row", "coverage", "rows", "table"]


@dataclass(frozen=True)
class Row:
    """What the schedules of a search are worth at a saving.

    Args:
        at_least: MACs that had to be saved, as a factor.
        search: its name.
        seeds: of it.
        saved: MACs saved, the median of its seeds.
        loss: of reward, over prompts.
        median: 95 % interval of the median difference of reward.
        beside: this project's search beside it; None for that search itself.
    """

    at_least: float
    search: str
    seeds: int
    saved: float
    loss: Loss
    median: tuple[float, float]
    beside: Comparison | None


def rows(document: Mapping[str, Any]) -> list[Row]:
    """What a file of results says, this search first, then the others by their means.

    Seeds of a search are averaged for each prompt: prompts are what intervals are over.
    """
    found = []
    for speedup, of_search in document["chosen"].items():
        losses = {
            name: -np.mean([document["differences"][key] for key, _ in runs], axis=0)[:, None]
            for name, runs in of_search.items()
            if runs
        }
        for name, loss in sorted(losses.items(), key=lambda item: (item[0] != OURS, item[1].mean())):
            saved = float(np.median([saving for _, saving in of_search[name]]))
            beside = None if name == OURS else compare(losses[OURS], loss)
            low, high = _of_median(-loss[:, 0])
            found.append(Row(float(speedup), name, len(of_search[name]), saved, loss_of(loss), (low, high), beside))
    return found


def _of_median(values: NDArray[np.float64]) -> tuple[float, float]:
    """The 95 % interval of a median by ranks, which holds for any distribution."""
    ordered = np.sort(values)
    rank = max(1, int(stats.binom.ppf(0.025, len(values), 0.5)))
    return float(ordered[rank - 1]), float(ordered[len(values) - rank])


def coverage(document: Mapping[str, Any], prompts: int, *, draws: int = 1000, seed: int = 0) -> NDArray[np.float64]:
    """How often Student's 95 % intervals of the mean would hold if the scored prompts were all there are.

    Args:
        document: a file of results.
        prompts: how many are drawn of them.
        draws: sets that are drawn for each run.
        seed: of the draws.

    Returns:
        A share for each run that was chosen.
    """
    keys = {key for of_search in document["chosen"].values() for runs in of_search.values() for key, _ in runs}
    rng = np.random.default_rng(seed)
    found = []
    for key in sorted(keys):
        values = np.array(document["differences"][key])
        drawn = rng.choice(values, size=(draws, prompts))
        half = stats.t.ppf(0.975, prompts - 1) * drawn.std(axis=1, ddof=1) / np.sqrt(prompts)
        found.append(np.mean(np.abs(drawn.mean(axis=1) - values.mean()) <= half))
    return np.array(found)


def table(found: Sequence[Row]) -> str:
    """Rewards less those of the uncached run."""
    lines = [
        "| at least | search | seeds | MACs saved | median (95 %) | mean (95 %) | this search less that | won, p |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in found:
        loss, beside = row.loss, row.beside
        mean = f"{-loss.mean:+.3f} ({-loss.high:+.3f} to {-loss.low:+.3f})"
        median = f"{-loss.median:+.3f} ({row.median[0]:+.3f} to {row.median[1]:+.3f})"
        less = "" if beside is None else f"{-beside.difference:+.3f} ({-beside.high:+.3f} to {-beside.low:+.3f})"
        won = "" if beside is None else f"{100 * beside.won:.0f} %, {beside.p:.2g}"
        lines.append(
            f"| {row.at_least:g}x | {row.search} | {row.seeds} | {row.saved:.2f}x | {median} | {mean} "
            f"| {less} | {won} |"
        )
    return "\n".join(lines)
