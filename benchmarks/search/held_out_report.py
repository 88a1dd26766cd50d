"""Tables of searches on held-out captions, beside what needs no search, and their hypervolume by its floor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.search.baseline_report import methods_of
from benchmarks.search.bed_runs import at, figures_of
from benchmarks.search.our_search import OURS
from benchmarks.search.protocol import SPEEDUPS, compare, loss_of, resampled_hypervolume

__all__ = ["FLOORS", "Front", "fronts", "hypervolumes", "known_fronts", "page", "plot", "rows"]

Floats = NDArray[np.float64]
#: Of a search, by saving: ``(captions, noises)`` losses and PSNR, averaged over seeds, and what was saved.
Front = dict[float, tuple[Floats, Floats, float]]

#: What methods are called in tables, where that is not their name.
_CALLED = {"steps": "fewer steps"}

#: Losses below which a run counts in the hypervolume.
FLOORS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)


def fronts(stands: Mapping[str, Any], runs: Mapping[str, Any]) -> dict[str, Front]:
    """By search, what it has found.

    A saving that not all seeds of a search have reached is left out.

    Args:
        stands: by search and seed, which run stands for it at each saving.
        runs: kept runs by name.
    """
    found: dict[str, Front] = {}
    for search, seeds in stands.items():
        for speedup in SPEEDUPS:
            names = [seed["runs"].get(f"{speedup:g}") for seed in seeds.values()]
            if None in names:
                continue
            figures = [figures_of(runs[name]) for name in names]
            found.setdefault(search, {})[speedup] = (
                np.mean([each.loss for each in figures], axis=0),
                np.mean([each.psnr for each in figures], axis=0),
                float(np.median([runs[name]["saved"] for name in names])),
            )
    return found


def known_fronts(known: Mapping[str, Any]) -> dict[str, Front]:
    """The same of what needs no search, by method."""
    found: dict[str, Front] = {}
    for method in methods_of(known):
        for speedup in SPEEDUPS:
            name = at(known, method, speedup)
            if name is not None:
                figures = figures_of(known[name])
                found.setdefault(method, {})[speedup] = (figures.loss, figures.psnr, float(known[name]["saved"]))
    return found


def page(stands: Mapping[str, Any], runs: Mapping[str, Any], known: Mapping[str, Any]) -> list[str]:
    """All of a bed, in Markdown."""
    seeds = {search: len(of) for search, of in stands.items()}
    searched, others = fronts(stands, runs), known_fronts(known)
    return [*rows(searched, others, seeds), "", *hypervolumes({**searched, **others})]


def rows(searched: Mapping[str, Front], others: Mapping[str, Front], seeds: Mapping[str, int]) -> list[str]:
    """At each saving this search first, then the others by their means, in Markdown.

    Args:
        searched: what searches have found.
        others: what needs no search.
        seeds: of each search.
    """
    heads = ["at least", "method", "seeds", "saved", "median loss", "mean (95 %)", "trimmed", "worst tenth", "PSNR, dB"]
    heads += ["this search less that (95 %)", "won, p"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for speedup in SPEEDUPS:
        here = {name: front[speedup] for name, front in {**searched, **others}.items() if speedup in front}
        for name in sorted(here, key=lambda name: (name != OURS, float(here[name][0].mean()))):
            losses, psnr, saved = here[name]
            loss, beside = loss_of(losses), "| "
            if name != OURS and OURS in here:
                found = compare(here[OURS][0], losses)
                beside = f"{found.difference:+.3f} ({found.low:+.3f} to {found.high:+.3f}) | {found.won:.0%}, "
                beside += f"{found.p:.1g}"
            called = _CALLED.get(name, name)
            lines.append(
                f"| {speedup:g}x | {called} | {seeds.get(name, '-')} | {saved:.2f}x | {loss.median:.3f} | "
                f"{loss.mean:.3f} ({loss.low:.3f} to {loss.high:.3f}) | {loss.trimmed:.3f} | {loss.worst_tenth:.3f} | "
                f"{np.median(psnr):.1f} | {beside} |"
            )
    return lines


def hypervolumes(fronts: Mapping[str, Front]) -> list[str]:
    """Hypervolume of what stands at the savings, by floor, with 95 % bootstrap intervals over captions, in Markdown."""
    lines = [f"| method | {' | '.join(f'{floor:g}' for floor in FLOORS)} |", f"|---|{'---|' * len(FLOORS)}"]
    for name, front in fronts.items():
        found = resampled_hypervolume(
            [each[0] for each in front.values()], [each[2] for each in front.values()], FLOORS
        )
        cells = [f"{volume:.3f} ({low:.3f} to {high:.3f})" for volume, low, high in found.values()]
        lines.append(f"| {_CALLED.get(name, name)} | {' | '.join(cells)} |")
    return lines


def plot(path: Path, title: str, fronts: Mapping[str, Front], floors: Sequence[float] | None = None) -> None:
    """Draw hypervolume against its floor; bands are 95 % bootstrap intervals over captions.

    Args:
        path: the PNG file to write.
        title: of the plot.
        fronts: by search; the first stands out.
        floors: where it is measured.
    """
    from ecad_automl.views.plots.figure import figure

    at_floors = np.geomspace(FLOORS[0], FLOORS[-1], 25).tolist() if floors is None else list(floors)
    with figure(path, 6.4, 4.6) as drawn:
        axes: Any = drawn.subplots()
        for number, (name, front) in enumerate(fronts.items()):
            losses, _, saved = zip(*front.values(), strict=True)
            found = resampled_hypervolume(losses, saved, at_floors, resamples=300)
            volume, low, high = np.array([found[floor] for floor in at_floors]).T
            style = {"linewidth": 2.5, "color": "black"} if number == 0 else {"linewidth": 1.3}
            (line,) = axes.plot(at_floors, volume, label=name, **style)
            axes.fill_between(at_floors, low, high, alpha=0.12, color=line.get_color())
        axes.set_xscale("log")
        axes.set_xlabel("loss from which a run counts nothing")
        axes.set_ylabel("hypervolume on held-out captions")
        axes.set_title(title, fontsize=10)
        axes.grid(alpha=0.25, which="both")
        axes.legend(fontsize=7.5)
