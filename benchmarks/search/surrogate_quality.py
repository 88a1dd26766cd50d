"""How good the surrogate was while searches went on: rank correlation at equal cost and coverage of its intervals.

From what is kept of earlier searches (``results/sample_efficiency``): of each candidate what had been predicted before
it was evaluated. Those that the surrogate did not choose tell what it knows; those that it chose are alike, and it was
chosen by what it overrated, so both are worse there. Candidates of all seeds are taken together, in bands of equal
cost.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console

from benchmarks.kept import EARLIER, kept_runs
from benchmarks.search.our_search import OURS
from benchmarks.search.yardstick import Yardstick
from surrogate import LogDrop, Prediction, banded_rank_correlation, interval_coverage

WORK = Path("runs/sample_efficiency")
#: Generations that are taken together.
SPANS = ((1, 4), (5, 9), (10, 10_000))
BANDS = 6
#: Below this no band can hold enough.
FEWEST = 8


def main(landscape: str = "shapes", work: Path = WORK, results: Path = EARLIER.parent) -> None:
    """Write the table."""
    yardstick = Yardstick.of(landscape, work)
    scale = LogDrop(yardstick.uncached, yardstick.uncached - yardstick.short)
    rows = [row for run in kept_runs(landscape, OURS, EARLIER).values() for row in run.about["foretold"]]
    seconds = [row for run in kept_runs(landscape, OURS, EARLIER).values() for row in run.about["generations"]]
    summary = []
    for first, last in SPANS:
        times = [row[6] for row in seconds if first <= row[0] <= last]
        for chosen in (False, True):
            found = [row[2:6] for row in rows if first <= row[0] <= last and row[1] is chosen]
            if len(found) >= FEWEST:
                summary.append(
                    {
                        "generations": [first, max(row[0] for row in rows if row[0] <= last)],
                        "chosen by the surrogate": chosen,
                        **_figures(np.array(found), scale),
                        "seconds to propose (median)": round(float(np.median(times)), 2),
                    }
                )
    names = (
        "generations",
        "candidates",
        "n",
        "Kendall's tau at equal cost",
        "Spearman's at equal cost",
        "90 % interval holds",
        "seconds to propose",
    )
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    for row in summary:
        first, last = row["generations"]
        kind = "chosen by the surrogate" if row["chosen by the surrogate"] else "drawn by lot"
        lines.append(
            f"| {first} to {last} | {kind} | {row['n']} | {row['kendall']:.2f} | {row['spearman']:.2f} | "
            f"{row['coverage']:.0%} | {row['seconds to propose (median)']} |"
        )
    stem = results / f"surrogate_quality-{landscape}"
    stem.with_suffix(".json").write_text(json.dumps(summary, indent=2) + "\n")
    stem.with_suffix(".md").write_text("\n".join(lines) + "\n")
    Console().print("\n".join(lines), highlight=False)


def _figures(found: NDArray[np.float64], scale: LogDrop) -> dict[str, float]:
    """From ``(n, 4)``: predicted rewards, their standard deviations, rewards and costs."""
    predicted, std, reward, cost = found.T
    prediction = Prediction.of_rewards(predicted, std, scale)
    return {
        "n": len(found),
        "kendall": round(_banded_kendall(predicted, reward, cost), 3),
        "spearman": round(banded_rank_correlation(predicted, reward, cost, BANDS), 3),
        "coverage": round(interval_coverage(prediction.loss, prediction.loss_std, scale.of(reward)), 3),
    }


def _banded_kendall(predicted: NDArray[np.float64], reward: NDArray[np.float64], cost: NDArray[np.float64]) -> float:
    """Mean of tau-b over bands of equal count."""
    from scipy.stats import kendalltau

    bands = np.array_split(np.argsort(cost, kind="stable"), max(1, min(BANDS, len(cost) // 4)))
    return float(np.mean([np.nan_to_num(kendalltau(predicted[band], reward[band]).statistic) for band in bands]))


if __name__ == "__main__":
    typer.run(main)
