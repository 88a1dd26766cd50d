"""Tables of what needs no search, and how well a test bed tells methods apart."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np

from benchmarks.search.bed_runs import at, figures_of
from benchmarks.search.beds import Figures
from benchmarks.search.protocol import SPEEDUPS, compare, loss_of

__all__ = ["absent", "feature_shares", "methods_of", "noise", "page", "pairs", "rows", "summary"]

#: The order of methods in tables; caches of diffusers and cache-dit follow.
_METHODS = ("steps", "FORA", "DPCache, reuse", "DPCache", "quick")
_NOISE_AT = 2.0
_PAIRS = f"Pairs at {_NOISE_AT:g}x: standard error of the paired difference over the captions, beside the difference."


def page(runs: Mapping[str, Any]) -> list[str]:
    """All of a bed, in Markdown."""
    return [*rows(runs), *absent(runs), "", _PAIRS, "", *pairs(runs)]


def methods_of(runs: Mapping[str, Any]) -> list[str]:
    """The methods of kept runs, in the order of tables."""
    found = {run["method"] for run in runs.values()} - {"uncached"}
    return [*(name for name in _METHODS if name in found), *sorted(found - set(_METHODS))]


def rows(runs: Mapping[str, Any]) -> list[str]:
    """The table of kept runs, in Markdown."""
    lines = [
        "| at least | method | saved | median loss | mean (95 %) | trimmed | worst tenth | PSNR, dB | captions right |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    uncached = figures_of(runs["uncached"])
    lines.append(f"| | uncached | 1.00x | 0 | 0 | 0 | 0 | - | {(uncached.margin > 0).mean():.0%} |")
    for speedup in SPEEDUPS:
        for method in methods_of(runs):
            name = at(runs, method, speedup)
            if name is None:
                continue
            figures = figures_of(runs[name])
            loss = loss_of(figures.loss)
            lines.append(
                f"| {speedup:g}x | {name} | {runs[name]['saved']:.2f}x | {loss.median:.4f} | {loss.mean:.4f} "
                f"({loss.low:.4f} to {loss.high:.4f}) | {loss.trimmed:.4f} | {loss.worst_tenth:.3f} | "
                f"{np.median(figures.psnr):.1f} | {(figures.margin > 0).mean():.0%} |"
            )
    return lines


def absent(runs: Mapping[str, Any]) -> list[str]:
    """Which methods are missing from the table and why, as a list in Markdown, after an empty line."""
    lines = []
    for method in methods_of(runs):
        of = [run for run in runs.values() if run["method"] == method]
        if all("failed" in run for run in of):
            lines.append(f"- {method} does not run: `{of[0]['failed']}`")
    return ["", *lines] if lines else []


def summary(beds: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Median losses and PSNR of every bed in one table, in Markdown.

    Args:
        beds: kept runs, by what the bed is called.
    """
    heads = {"quick": "`quick`", "steps": "fewer steps", "FORA": "FORA", "DPCache": "DPCache"}
    lines = [f"| bed | at least | {' | '.join(heads.values())} |", f"|---|---|{'---|' * len(heads)}"]
    for bed, runs in beds.items():
        for speedup in SPEEDUPS:
            names = [at(runs, method, speedup) for method in heads]
            figures = [None if name is None else figures_of(runs[name]) for name in names]
            least = min(loss_of(each.loss).median for each in figures if each is not None)
            cells = [_cell(each, least) for each in figures]
            lines.append(f"| {bed} | {speedup:g}x | {' | '.join(cells)} |")
    return lines


def _cell(figures: Figures | None, least: float) -> str:
    if figures is None:
        return ""
    loss = loss_of(figures.loss).median
    text = f"{loss:.3f}, {np.median(figures.psnr):.1f} dB"
    return f"**{text}**" if loss == least else text


def pairs(runs: Mapping[str, Any]) -> list[str]:
    """How well runs of about twofold savings are told apart, in Markdown."""
    names = [at(runs, method, _NOISE_AT) for method in _METHODS]
    lines = [
        "| pair | difference (95 %) | standard error / difference | share of captions won | Wilcoxon's p |",
        "|---|---|---|---|---|",
    ]
    for first, second in combinations([name for name in names if name], 2):
        a, b = (np.array(runs[name]["loss"]) for name in (first, second))
        found = compare(a, b)
        lines.append(
            f"| {first} less {second} | {found.difference:+.4f} ({found.low:+.4f} to {found.high:+.4f}) | "
            f"{_relative_error(a, b):.2f} | {found.won:.0%} | {found.p:.1g} |"
        )
    return lines


def noise(beds: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Headroom and noise of every bed at twofold savings, in Markdown.

    Headroom is what lies between taking fewer steps and the best method; noise is the standard error of the paired
    difference between the two best ones, beside the difference.

    Args:
        beds: kept runs, by what the bed is called.
    """
    lines = [
        "| bed | captions | uncached right | loss of fewer steps | best | second | standard error / difference |",
        "|---|---|---|---|---|---|---|",
    ]
    for bed, runs in beds.items():
        names = [name for method in _METHODS if (name := at(runs, method, _NOISE_AT)) is not None]
        losses = {name: np.array(runs[name]["loss"]) for name in names}
        first, second = sorted(names, key=lambda name: float(losses[name].mean()))[:2]
        steps = at(runs, "steps", _NOISE_AT) or ""
        right = (figures_of(runs["uncached"]).margin > 0).mean()
        told = (f"{name}, {losses[name].mean():.3f}" for name in (steps, first, second))
        lines.append(
            f"| {bed} | {len(losses[first])} | {right:.0%} | {' | '.join(told)} | "
            f"{_relative_error(losses[first], losses[second]):.2f} |"
        )
    return lines


def feature_shares(runs: Mapping[str, Any]) -> list[float]:
    """Of each run but the uncached one the share of its loss that is distance in features; the rest is in pixels."""
    shares = []
    for run in runs.values():
        if run["method"] != "uncached" and "failed" not in run:
            figures = figures_of(run)
            shares.append(float(1 - (10 ** (-figures.psnr / 20)).mean() / figures.loss.mean()))
    return shares


def _relative_error(first: Any, second: Any) -> float:
    """Standard error of the paired mean difference over captions, beside that difference."""
    difference = (first - second).mean(axis=1)
    return float(difference.std(ddof=1) / np.sqrt(len(difference)) / abs(difference.mean()))
