"""Figures of the test beds: what needs no search, and the searches beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from benchmarks.machine import RESULTS
from benchmarks.search import (
    baseline_report,
    baselines,
    best_rivals,
    damping_constants,
    forecasts,
    held_out_report,
    levers,
    lora,
    whole_fronts,
)
from benchmarks.search.bed_runs import at, figures_of, kept_runs_of
from benchmarks.search.protocol import SPEEDUPS, loss_of

__all__ = ["BED_FIGURES"]

#: That searches are judged on.
_CAPTIONS = 32


#: By what test beds are called on pages.
_BEDS = {"`shapes`": "shapes", "`shapes`, Euler, 14 steps": "shapes-euler-14", "`flow-shapes`": "flow-shapes"}


def _beds() -> dict[str, Mapping[str, Any]]:
    """What needs no search, by what a test bed is called on pages."""
    return {name: baselines.all_kept(bed) for name, bed in _BEDS.items()}


def _best_rivals() -> str:
    kept = {name: (kept_runs_of(levers.KIND, bed), baselines.all_kept(bed)) for name, bed in _BEDS.items()}
    return "\n".join(best_rivals.table(kept))


def _whole_fronts(table: Callable[[Mapping[str, Any]], list[str]]) -> str:
    found = json.loads((RESULTS / f"{whole_fronts.KIND}.json").read_text())
    return "\n".join(table({name: found[bed] for name, bed in _BEDS.items()}))


def _feature_shares() -> str:
    shares = [share for runs in _beds().values() for share in baseline_report.feature_shares(runs)]
    return f"{100 * min(shares):.0f} to {100 * max(shares):.0f} %"


def _bed_table(bed: str) -> str:
    runs = baselines.all_kept(bed)
    return "\n".join([*baseline_report.rows(runs), *baseline_report.absent(runs)])


def _hypervolumes(bed: str) -> str:
    return "\n".join(held_out_report.hypervolumes(held_out_report.known_fronts(baselines.all_kept(bed))))


def _forecast_levels(bed: str) -> str:
    return "\n".join(forecasts.levels(kept_runs_of(forecasts.KIND, bed)))


def _forecast_searches(bed: str) -> str:
    return "\n".join(forecasts.searches(kept_runs_of(forecasts.KIND, bed), baselines.all_kept(bed)))


def _half(method: str) -> str:
    """Over the beds, median PSNR of a method that saves a half of the MACs."""
    runs = [kept[name] for kept in _beds().values() if (name := at(kept, method, 2.0)) is not None]
    found = [float(np.median(figures_of(run).psnr)) for run in runs]
    return f"{min(found):.0f} to {max(found):.0f} dB"


def _levers(bed: str) -> str:
    return "\n".join(levers.table(kept_runs_of(levers.KIND, bed), baselines.all_kept(bed)))


def _right(bed: str, search: str) -> str:
    """Shares of captions that are right under what a search has found, over savings; ``uncached`` has one."""
    if search == "uncached":
        margins = [np.asarray(baselines.all_kept(bed)["uncached"]["margin"])[:_CAPTIONS]]
    else:
        runs = kept_runs_of(levers.KIND, bed)
        found = [levers.over_seeds(runs, search, speedup) for speedup in SPEEDUPS]
        margins = [each["margin"] for each in found if each is not None]
    shares = sorted({f"{100 * (margin > 0).mean():.0f}" for margin in margins})
    return " to ".join(dict.fromkeys((shares[0], shares[-1]))) + " %"


def _lora() -> str:
    return "\n".join(lora.table(kept_runs_of(lora.KIND, "shapes"), baselines.all_kept("shapes")))


def _lora_half(method: str) -> str:
    """Median loss with a LoRA, of what saves a half of the MACs."""
    runs = kept_runs_of(lora.KIND, "shapes")
    return f"{loss_of(figures_of(runs[at(runs, method, 2.0) or '']).loss).median:.3f}"


def _lora_more() -> str:
    """How many times as much is lost with a LoRA as without, by medians of what saves as much."""
    runs, plain = kept_runs_of(lora.KIND, "shapes"), baselines.all_kept("shapes")
    found = []
    for method in ("quick", "steps"):
        for speedup in SPEEDUPS:
            with_it, without = (figures_of(kept[at(kept, method, speedup) or ""]).loss for kept in (runs, plain))
            found.append(loss_of(with_it).median / loss_of(without[: len(with_it)]).median)
    return f"{min(found):.1f} to {max(found):.1f}"


def _lora_right() -> str:
    """Share of captions that are right in uncached images with a LoRA."""
    return f"{(figures_of(kept_runs_of(lora.KIND, 'shapes')['uncached']).margin > 0).mean():.0%}"


def _damping_constants(bed: str) -> str:
    found = json.loads((RESULTS / "damping_constants.json").read_text())
    return "\n".join(damping_constants.table(found["beds"][bed]["losses"]))


#: By name, what stands on a page.
BED_FIGURES: Mapping[str, Callable[[], str]] = {
    "beds-shapes": partial(_bed_table, "shapes"),
    "beds-euler-14": partial(_bed_table, "shapes-euler-14"),
    "beds-flow-shapes": partial(_bed_table, "flow-shapes"),
    "quick": lambda: "\n".join(baseline_report.summary(_beds())),
    "quick-half": partial(_half, "quick"),
    "steps-half": partial(_half, "steps"),
    "beds-noise": lambda: "\n".join(baseline_report.noise(_beds())),
    "feature-shares": _feature_shares,
    "damping-constants-shapes": partial(_damping_constants, "shapes"),
    "damping-constants-flow-shapes": partial(_damping_constants, "flow-shapes"),
    "forecast-levels": partial(_forecast_levels, "shapes"),
    "forecast-levels-flow-shapes": partial(_forecast_levels, "flow-shapes"),
    "forecast-searches": partial(_forecast_searches, "shapes"),
    "forecast-searches-flow-shapes": partial(_forecast_searches, "flow-shapes"),
    "best-rivals": _best_rivals,
    "whole-fronts": partial(_whole_fronts, whole_fronts.table),
    "equal-quality": partial(_whole_fronts, whole_fronts.equal_quality),
    **{
        f"right-{short}-{search.split()[0]}": partial(_right, bed, search)
        for short, bed in (("shapes", "shapes"), ("euler", "shapes-euler-14"))
        for search in ("uncached", levers.WHOLE, "guidance kept")
    },
    "levers-shapes": partial(_levers, "shapes"),
    "levers-euler-14": partial(_levers, "shapes-euler-14"),
    "levers-flow-shapes": partial(_levers, "flow-shapes"),
    "lora": _lora,
    "lora-half-quick": partial(_lora_half, "quick"),
    "lora-half-own": partial(_lora_half, "quick with it"),
    "lora-half-steps": partial(_lora_half, "steps"),
    "lora-more": _lora_more,
    "lora-right": _lora_right,
    "hypervolumes-shapes": partial(_hypervolumes, "shapes"),
    "hypervolumes-euler-14": partial(_hypervolumes, "shapes-euler-14"),
    "hypervolumes-flow-shapes": partial(_hypervolumes, "flow-shapes"),
    "pairs-shapes": lambda: "\n".join(baseline_report.pairs(baselines.all_kept("shapes"))),
    "pairs-euler-14": lambda: "\n".join(baseline_report.pairs(baselines.all_kept("shapes-euler-14"))),
    "pairs-flow-shapes": lambda: "\n".join(baseline_report.pairs(baselines.all_kept("flow-shapes"))),
}
