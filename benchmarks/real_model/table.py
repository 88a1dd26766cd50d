"""The table of an experiment on a real model: what was measured, and what ECAD's paper says of the same model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["table"]

#: ECAD (arXiv 2506.15682, tables 1 and 2) on an RTX A6000, by model: time saved, ImageReward, FID on 30,000 of COCO.
_PUBLISHED: Mapping[str, Sequence[tuple[str, float, float, float]]] = {
    "pixart-alpha-256": (
        ("uncached", 1.00, 0.97, 24.84),
        ("FORA 3", 2.01, 0.83, 24.50),
        ("ToCa", 2.35, 0.68, 24.01),
        ("ECAD fast", 1.97, 0.99, 20.58),
        ("ECAD fastest", 2.58, 0.77, 19.54),
    ),
    "flux-dev-256": (
        ("uncached", 1.00, 1.04, 25.76),
        ("FORA 3", 2.44, 0.93, 23.51),
        ("TaylorSeer, N=5, O=2", 2.55, 0.54, 29.66),
        ("ECAD fast", 2.58, 1.04, 21.61),
        ("ECAD fastest", 3.37, 0.89, 26.66),
    ),
}


def table(preset: str, scores: Mapping[str, Mapping[str, Any]], times: Mapping[str, Any]) -> list[str]:
    """All of it, in Markdown.

    Args:
        preset: of the search.
        scores: by prompt set, or by the model that schedules were carried to, what ``ecad-automl evaluate`` wrote.
        times: what ``ecad-automl bench`` wrote, of the model of the search.
    """
    rows = {row["name"]: row for row in times["batches"][0]["rows"]}
    lines: list[str] = []
    for where, evaluation in scores.items():
        runs = evaluation["runs"]
        metrics = list(runs[0]["metrics"])
        lines += [f"## {where}", "", f"| run | MACs saved | times as fast | {' | '.join(metrics)} |"]
        lines.append("|---|---|---|" + "---|" * len(metrics))
        for run in sorted(runs, key=lambda each: each["mac_speedup"]):
            found = " | ".join(_score(run["metrics"][name]) for name in metrics)
            lines.append(f"| {run['name']} | {run['mac_speedup']:.2f}x | {_time(rows.get(run['name']))} | {found} |")
        lines.append("")
    if preset in _PUBLISHED:
        lines += ["## ECAD as published (arXiv 2506.15682), on an RTX A6000", ""]
        lines += ["| run | times as fast | ImageReward | FID, COCO |", "|---|---|---|---|"]
        lines += [
            f"| {name} | {fast:.2f} | {reward:.2f} | {fid:.2f} |" for name, fast, reward, fid in _PUBLISHED[preset]
        ]
        lines.append("")
    return lines


def _score(metric: Mapping[str, Any]) -> str:
    """The mean, and by how much it differs from the uncached run, with its interval, where that is known."""
    if metric["difference"] is None:
        return f"{metric['mean']:.3f}"
    ends = metric["difference_interval"]
    interval = "" if ends is None else f" ({ends[0]:+.3f} to {ends[1]:+.3f})"
    return f"{metric['mean']:.3f}, {metric['difference']:+.3f}{interval}"


def _time(row: Mapping[str, Any] | None) -> str:
    return "-" if row is None else f"{row['whole']['speedup']['median']:.2f}"
