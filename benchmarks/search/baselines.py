"""What needs no search, on held-out captions of each test bed: fewer steps, FORA, DPCache, and our quick front.

Runs are kept with their figures of every image, so that the script goes on where it was interrupted and tables of other
searches can be paired with them. Kept runs of another commit are only taken when asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from benchmarks.machine import RESULTS
from benchmarks.search.bed_runs import Contestant, figures_of, keep_runs, wanted_beds
from benchmarks.search.beds import BEDS, HELD_OUT_NOISES, Bed, Figures, load_bed
from benchmarks.search.outputs import output_products
from benchmarks.search.protocol import SPEEDUPS, compare, loss_of
from benchmarks.search.step_rivals import shortest_paths, step_schedule
from benchmarks.search.whole_steps import computing_only, predicted_paths
from ecad_automl.judging.evaluation import Evaluator
from ecad_automl.runtime import measure_drift
from ecad_automl.schedules.forecast import Forecasts
from ecad_automl.schedules.heuristics import fora
from ecad_automl.schedules.layout import Layout
from studies.forecast_seeds import ForecastSeeds, quick_schedules

#: Images of which DPCache is calibrated.
_CALIBRATION = 16
#: Of these the quick front is made.
_QUICK_IMAGES = 8
_KINDS = ("steps", "FORA", "DPCache, reuse", "DPCache", "quick")
_NOISE_AT = 2.0
_PAIRS = f"Pairs at {_NOISE_AT:g}x: standard error of the paired difference over the captions, beside the difference."

KIND = "baselines"


def main(
    bed: Annotated[list[str] | None, typer.Option(help="Which beds; all but the last one by default.")] = None,
    captions: int = 96,
    results: Path = RESULTS,
    other_commits: Annotated[bool, typer.Option(help="Take kept runs of other commits.")] = False,
) -> None:
    """Run what is not kept yet, and write the tables."""
    for name in wanted_beds(bed):
        evaluator, layout = load_bed(BEDS[name], split="held-out", captions=captions, noises=HELD_OUT_NOISES)
        contestants = _contestants(evaluator, layout, BEDS[name])
        runs = keep_runs(KIND, name, evaluator, contestants, results=results, other_commits=other_commits)
        lines = [*rows(runs), "", _PAIRS, "", *pairs(runs)]
        (results / f"{KIND}-{name}.md").write_text("\n".join(lines) + "\n")
        Console().print("\n".join(lines), highlight=False)


def _contestants(evaluator: Evaluator, layout: Layout, bed: Bed) -> dict[str, Contestant]:
    steps = evaluator.settings.steps
    calibration, _ = load_bed(bed, split="calibration", captions=_CALIBRATION, noises=(0,))
    products = output_products(calibration, bed.calls)
    power = np.diagonal(products)
    reused = shortest_paths(power[:, None] + power[None, :] - 2 * products)
    predicted = predicted_paths(products)
    drift = measure_drift(calibration.pipe, lambda: calibration.generate_some(_QUICK_IMAGES), steps=steps)
    quick = quick_schedules(ForecastSeeds(Forecasts(drift, layout.component_index), layout), layout)
    found = {"uncached": Contestant(1.0, lambda: evaluator.reference_images)}

    def add(name: str, saved: float, make: Callable[[], Any]) -> None:
        found.setdefault(name, Contestant(saved, make))

    for speedup in SPEEDUPS:
        count = int(steps / speedup)
        add(f"{count} steps", steps / count, lambda count=count: evaluator.generate(None, steps=count))
        interval = next(n for n in range(1, steps + 1) if fora(layout, steps, n).mac_speedup >= speedup)
        schedule = fora(layout, steps, interval)
        add(f"FORA {interval}", schedule.mac_speedup, lambda schedule=schedule: evaluator.generate(schedule))
        schedules = [step_schedule(layout, steps, mask) for mask in reused]
        best = max((each for each in schedules if each.mac_speedup >= speedup), key=lambda each: each.macs)
        computed = int(best.effective.all(axis=1).sum())
        add(f"DPCache, reuse, {computed}", best.mac_speedup, lambda best=best: evaluator.generate(best))
        mask = predicted[count - 1]

        def predict(mask: tuple[int, ...] = mask) -> Any:
            with computing_only(evaluator.pipe, mask, steps=steps, calls=bed.calls):
                return evaluator.generate(None)

        add(f"DPCache, {count}", steps / count, predict)
        ours = next(each for each, _ in quick if each.mac_speedup >= speedup * (1 - 1e-6))
        add(f"quick, {int((~ours.skip).sum())}", ours.mac_speedup, lambda ours=ours: evaluator.generate(ours))
    evaluator.baseline()
    return found


def rows(runs: Mapping[str, Any]) -> list[str]:
    """The table of kept runs, in Markdown."""
    lines = [
        "| at least | method | saved | median loss | mean (95 %) | trimmed | worst tenth | PSNR, dB | captions right |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    uncached = figures_of(runs["uncached"])
    lines.append(f"| | uncached | 1.00x | 0 | 0 | 0 | 0 | - | {(uncached.margin > 0).mean():.0%} |")
    for speedup in SPEEDUPS:
        for kind in _KINDS:
            name = at(runs, kind, speedup)
            if name is None:
                continue
            figures = figures_of(runs[name])
            loss = loss_of(figures.loss)
            lines.append(
                f"| {speedup:g}x | {name} | {runs[name]['saved']:.2f}x | {loss.median:.3f} | {loss.mean:.3f} "
                f"({loss.low:.3f} to {loss.high:.3f}) | {loss.trimmed:.3f} | {loss.worst_tenth:.3f} | "
                f"{np.median(figures.psnr):.1f} | {(figures.margin > 0).mean():.0%} |"
            )
    return lines


def summary(beds: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Median losses and PSNR of every bed in one table, in Markdown.

    Args:
        beds: kept runs, by what the bed is called.
    """
    heads = {"quick": "`quick`", "steps": "fewer steps", "FORA": "FORA", "DPCache": "DPCache"}
    lines = [f"| bed | at least | {' | '.join(heads.values())} |", f"|---|---|{'---|' * len(heads)}"]
    for bed, runs in beds.items():
        for speedup in SPEEDUPS:
            names = [at(runs, kind, speedup) for kind in heads]
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
    names = [at(runs, kind, _NOISE_AT) for kind in _KINDS]
    lines = [
        "| pair | difference (95 %) | standard error / difference | share of captions won | Wilcoxon's p |",
        "|---|---|---|---|---|",
    ]
    for first, second in combinations([name for name in names if name], 2):
        a, b = (np.array(runs[name]["loss"]) for name in (first, second))
        found = compare(a, b)
        difference = (a - b).mean(axis=1)
        error = difference.std(ddof=1) / np.sqrt(len(difference))
        lines.append(
            f"| {first} less {second} | {found.difference:+.4f} ({found.low:+.4f} to {found.high:+.4f}) | "
            f"{error / abs(difference.mean()):.2f} | {found.won:.0%} | {found.p:.1g} |"
        )
    return lines


def at(runs: Mapping[str, Any], kind: str, speedup: float) -> str | None:
    """The run of a method that saves enough and the least of those."""
    names = [
        name
        for name, run in runs.items()
        if run["saved"] >= speedup * (1 - 1e-6)
        and (name.endswith(" steps") if kind == "steps" else name.rstrip("0123456789").rstrip(" ,") == kind)
    ]
    return min(names, key=lambda name: runs[name]["saved"], default=None)


if __name__ == "__main__":
    typer.run(main)
