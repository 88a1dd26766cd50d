"""Tables and plot of what ``benchmarks.runtime.cache_rivals`` measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.search.our_search import OURS
from ecad_automl.judging.statistics import Interval, prompt_interval

__all__ = ["WANTED", "Measured", "at_least", "matched", "measured", "overview", "plot", "table"]

Floats = NDArray[np.float64]

#: Speedups at which the caches are compared, by MACs.
WANTED = (1.5, 1.75, 2.0, 3.0)
#: What just misses a speedup may still count for it.
_TOLERANCE = 0.98
_EACH = "image by image"
#: Rewards that the plot shows.
_SHOWN = (-0.12, 0.01)


@dataclass(frozen=True)
class Measured:
    """What a setting gave.

    Args:
        series: what it is a setting of.
        knob: the setting.
        reward: ``(prompts,)`` differences to the uncached run.
        psnr: ``(prompts,)`` in dB, to the uncached image.
        latents: ``(prompts,)`` distance to the uncached latents, over their root mean square.
        mac_speedup: MACs of the transformer, uncached over cached.
        time_speedup: processor time of the transformer, likewise: median of the rounds, and its range; None where it
            was not taken.
    """

    series: str
    knob: str
    reward: Floats
    psnr: Floats
    latents: Floats
    mac_speedup: float
    time_speedup: tuple[float, float, float] | None


def measured(runs: Mapping[str, Any]) -> list[Measured]:
    """What is in the results file, by series and speedup, without the uncached run."""
    found = []
    for run in runs.values():
        if "series" not in run or not run["batches"]:
            continue
        times = run["time_speedups"]
        found.append(
            Measured(
                run["series"],
                run["knob"],
                np.array(run["reward"]),
                np.array(run["psnr"]),
                np.array(run["latents"]),
                # Of the mean MACs, not the mean of the speedups.
                float(1 / np.mean(1 / np.array(run["mac_speedups"]))),
                (float(np.median(times)), min(times), max(times)) if times else None,
            )
        )
    return sorted(found, key=lambda one: (_group(one.series), one.series, one.mac_speedup))


def _group(series: str) -> int:
    """The search first, then what needs neither a search nor another library."""
    return 0 if series == OURS else {"diffusers": 2, "cache-dit": 3}.get(series.split(maxsplit=1)[0], 1)


def at_least(rows: Sequence[Measured], speedup: float) -> dict[str, list[Measured]]:
    """For each series the settings that stand for it at a speedup.

    Of a cache it is the one with the best reward among those that save as much: nobody who sets the knob knows it
    beforehand, so this is to the caches' advantage. Of the search it is, for each of its seeds, the schedule that saves
    the least among these: its reward here plays no part.
    """
    found: dict[str, list[Measured]] = {}
    for series in dict.fromkeys(row.series for row in rows):
        enough = [row for row in rows if row.series == series and row.mac_speedup >= speedup * _TOLERANCE]
        if series == OURS:
            seeds = dict.fromkeys(row.knob.partition(",")[0] for row in enough)
            chosen = [
                min((row for row in enough if row.knob.startswith(f"{seed},")), key=lambda row: row.mac_speedup)
                for seed in seeds
            ]
        else:
            chosen = [max(enough, key=lambda row: row.reward.mean())] if enough else []
        if chosen:
            found[series] = chosen
    return found


def overview(rows: Sequence[Measured], wanted: Sequence[float] = WANTED) -> list[str]:
    """A row for each series and a column for each speedup, in Markdown: savings, reward, PSNR, who is ahead.

    Better and worse are said of the search's rivals where the 95 % interval of the paired difference leaves zero out.
    """
    found = {speedup: at_least(rows, speedup) for speedup in wanted}
    lines = [
        "| | " + " | ".join(f"at least {speedup:g}x" for speedup in wanted) + " |",
        "|---" * (len(wanted) + 1) + "|",
    ]
    names = list(dict.fromkeys(row.series for row in rows))
    for series in names:
        cells = []
        for speedup in wanted:
            chosen = found[speedup].get(series)
            if chosen is None:
                cells.append("-")
                continue
            reward = np.mean([row.reward for row in chosen], axis=0)
            saved, psnr = (np.mean([getattr(row, name) for row in chosen]) for name in ("mac_speedup", "psnr"))
            cell = f"{saved:.2f}x: {_interval(prompt_interval(reward[:, None]))}, {psnr:.1f} dB"
            if series != OURS and OURS in found[speedup]:
                ours = np.mean([row.reward for row in found[speedup][OURS]], axis=0)
                ahead = prompt_interval((reward - ours)[:, None])
                cell += ", better" if ahead.low > 0 else ", worse" if ahead.high < 0 else ""
            cells.append(cell)
        lines.append(f"| {series} | " + " | ".join(cells) + " |")
    return lines


def matched(rows: Sequence[Measured], wanted: Sequence[float] = WANTED) -> list[str]:
    """The table of series at each speedup, in Markdown: the search first, then the best reward first."""
    lines = [
        "| at least | | setting | MACs saved | time saved | reward less uncached | PSNR | latents | search less that |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for speedup in wanted:
        found = at_least(rows, speedup)
        means = {series: np.mean([row.reward for row in chosen], axis=0) for series, chosen in found.items()}
        for series in sorted(found, key=lambda series: (series != OURS, -means[series].mean())):
            chosen = found[series]
            ahead = ""
            if series != OURS and OURS in means:
                ahead = _interval(prompt_interval((means[OURS] - means[series])[:, None]))
            knob = f"{len(chosen)} seeds" if series == OURS else chosen[0].knob
            lines.append(f"| {speedup:g}x | {series} | {knob} | {_cells(chosen)} | {ahead} |")
    return lines


def table(runs: Mapping[str, Any]) -> str:
    """Both tables, in Markdown."""
    rows = measured(runs)
    every = [
        "| | setting | MACs saved | time saved | reward less uncached | PSNR | latents |",
        "|---|---|---|---|---|---|---|",
        *(f"| {row.series} | {row.knob} | {_cells([row])} |" for row in rows),
    ]
    return "\n".join(["At equal savings:", "", *matched(rows), "", "All settings:", "", *every])


def _cells(rows: Sequence[Measured]) -> str:
    """Of one row, or the mean of several."""
    reward = prompt_interval(np.mean([row.reward for row in rows], axis=0)[:, None])
    times = [row.time_speedup[0] for row in rows if row.time_speedup is not None]
    cells = [
        f"{np.mean([row.mac_speedup for row in rows]):.2f}x",
        f"{np.mean(times):.2f}x" if times else "-",
        _interval(reward),
        f"{np.mean([row.psnr for row in rows]):.1f} dB",
        f"{np.mean([row.latents for row in rows]):.3f}",
    ]
    return " | ".join(cells)


def _interval(found: Interval) -> str:
    return f"{found.mean:+.3f} ({found.low:+.3f} to {found.high:+.3f})"


def plot(path: Path, runs: Mapping[str, Any]) -> None:
    """Reward and PSNR against MACs saved, and reward against time saved; a line for each series."""
    from ecad_automl.views.plots.figure import figure

    rows = measured(runs)
    # Single points that lie on others say nothing in a plot.
    series = list(dict.fromkeys(row.series for row in rows if not row.series.endswith(_EACH)))
    with figure(path, 15.0, 7.2) as drawn:
        axes: Any = drawn.subplots(1, 3)
        for name in series:
            points = [row for row in rows if row.series == name]
            style = _style(name, series)
            timed = [(row.time_speedup[0], row) for row in points if row.time_speedup is not None]
            macs = [row.mac_speedup for row in points]
            axes[0].plot(macs, [row.reward.mean() for row in points], label=name, **style)
            axes[1].plot(macs, [row.psnr.mean() for row in points], **style)
            timed.sort(key=lambda pair: pair[0])
            axes[2].plot([at for at, _ in timed], [row.reward.mean() for _, row in timed], **style)
        for axis, across, up in (
            (axes[0], "MACs saved (times fewer)", "reward difference to uncached"),
            (axes[1], "MACs saved (times fewer)", "PSNR to the uncached image (dB)"),
            (axes[2], "processor time of the transformer saved (times less)", "reward difference to uncached"),
        ):
            axis.set_xlim(1.0, 4.2)
            axis.set_xlabel(across)
            axis.set_ylabel(up)
            axis.grid(alpha=0.25)
        for axis in (axes[0], axes[2]):
            axis.set_ylim(*_SHOWN)
            axis.axhline(0.0, color="black", linewidth=0.8)
        drawn.legend(loc="outside lower center", ncols=5, fontsize=8.5)


def _style(name: str, series: Sequence[str]) -> dict[str, Any]:
    if name == OURS:
        return {"color": "black", "marker": "o", "linestyle": "none", "markersize": 6, "zorder": 5}
    import matplotlib as mpl

    group = _group(name)
    number = [other for other in series if _group(other) == group].index(name)
    color = ("0.25", "0.45", "0.65")[number % 3] if group == 1 else mpl.colormaps["tab10"](number % 10)
    dashes = {1: ":", 2: "-", 3: "--"}[group]
    return {"color": color, "marker": "osD^vP*X"[number % 8], "markersize": 5, "linestyle": dashes, "linewidth": 1.5}
