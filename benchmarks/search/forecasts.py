"""What forecasts and skipped steps are worth on the test beds, on held-out captions.

First the same choice of computed slots with plain reuse, with damped and with whole forecasts. Then searches of equal
budget in ECAD's space, where cached outputs are only reused, and in the whole one. The runs of ``baselines.py`` on the
same captions stand beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, get_args

import numpy as np
import typer
from rich.console import Console

from benchmarks.code import ACCEPT, made_by
from benchmarks.machine import RESULTS
from benchmarks.search import baselines
from benchmarks.search.bed_runs import figures_of, keep_runs, kept_runs_of, wanted_beds
from benchmarks.search.beds import BEDS, HELD_OUT_NOISES, Bed, load_bed
from benchmarks.search.contestant import Contestant
from benchmarks.search.protocol import SPEEDUPS
from benchmarks.search.searched import HEAD, needing_no_search, rows, searched_contestants, searched_front
from ecad_automl.bundled import BUNDLED
from ecad_automl.judging.evaluation import Evaluator
from ecad_automl.runtime import measure_drift
from ecad_automl.schedules.forecast import DAMPING, Forecasts
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule
from studies.config import SearchConfig, Use
from studies.drift_seeds import drift_optimal_seeds

__all__ = ["KIND", "levels", "searches"]

KIND = "forecasts"

_MADE_BY = "benchmarks.search.forecasts"

#: Images of which weights and drift are taken.
_IMAGES = 8
#: Schedules of least drift among which the one is that just saves enough.
_SEEDS = 40


def main(
    bed: Annotated[list[str] | None, typer.Option(help="Which beds; all but the last one by default.")] = None,
    captions: int = 96,
    evaluations: int = 50,
    seed: Annotated[int, typer.Option(help="Of the searches.")] = 0,
    work: Annotated[Path, typer.Option(help="Folder of the searches, which go on there.")] = Path("runs/forecasts"),
    results: Path = RESULTS,
    accept_other_code: Annotated[bool, typer.Option("--accept-other-code", help=ACCEPT)] = False,
) -> None:
    """Run what is not kept yet, and write the tables."""
    for name in wanted_beds(bed):
        evaluator, layout = load_bed(BEDS[name], split="held-out", captions=captions, noises=HELD_OUT_NOISES)
        contestants = _same_slots(BEDS[name], evaluator, layout)
        code = made_by((_MADE_BY,), BUNDLED[BEDS[name].model].weights)["code"]  # another study for other code
        for use in get_args(Use):
            database = work / f"{name}-{use}-{seed}-{code}.db"
            config = SearchConfig(evaluations=evaluations, seed=seed)
            front = searched_front(BEDS[name], database, config, use=use, fixed_steps=True, guidance="keep")
            contestants |= searched_contestants(f"search, {use}", front, evaluator, layout, _MADE_BY)
        runs = keep_runs(KIND, name, evaluator, contestants, results=results, accept_other_code=accept_other_code)
        others = kept_runs_of(baselines.KIND, name, results)
        lines = [*levels(runs), "", *searches(runs, others)]
        (results / f"{KIND}-{name}.md").write_text("\n".join(lines) + "\n")
        Console().print("\n".join(lines), highlight=False)


def _contestant(method: str, evaluator: Evaluator, schedule: Schedule) -> Contestant:
    return Contestant(method, (_MADE_BY,), lambda: evaluator.generate(schedule), schedule.mac_speedup)


def _same_slots(bed: Bed, evaluator: Evaluator, layout: Layout) -> dict[str, Contestant]:
    """Slots of least drift, chosen as if they were reused, at all levels of damping."""
    calibration, _ = load_bed(bed, split="calibration", captions=_IMAGES, noises=(0,))
    steps = evaluator.settings.steps
    drift = measure_drift(calibration.pipe, lambda: calibration.generate_some(_IMAGES), steps=steps)
    weights = Forecasts(drift, layout.component_index)
    bits = drift_optimal_seeds(drift.expected_error(), layout.slot_macs, _SEEDS, layout.component_index)
    found = {}
    for speedup in SPEEDUPS:
        plain = [schedule for row in bits if (schedule := Schedule(layout, row)).mac_speedup >= speedup]
        chosen = max(plain, key=lambda schedule: schedule.macs)
        for level in range(len(DAMPING)):
            damping = np.full((steps, len(layout.components) + 1), level)
            schedule = Schedule(layout, chosen.compute, None, damping, weights)
            found[f"level {level}, {speedup:g}x"] = _contestant(f"level {level}", evaluator, schedule)
    return found


def levels(runs: Mapping[str, Any]) -> list[str]:
    """The same slots at every level of damping, in Markdown."""
    names = ["reuse", *(f"{share:.0%} of the forecast" for share in DAMPING[1:-1]), "forecast"]
    lines = [f"| at least | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    for speedup in SPEEDUPS:
        figures = [figures_of(runs[f"level {level}, {speedup:g}x"]) for level in range(len(DAMPING))]
        cells = [f"{np.median(each.loss):.3f}, {np.median(each.psnr):.1f} dB" for each in figures]
        lines.append(f"| {speedup:g}x | {' | '.join(cells)} |")
    return lines


def searches(runs: Mapping[str, Any], others: Mapping[str, Any]) -> list[str]:
    """The two searches, and the best of what needs no search, in Markdown.

    Args:
        runs: of the searches.
        others: of what needs no search, on the same captions or on more that begin with them.
    """
    lines = [*HEAD]
    for speedup in SPEEDUPS:
        uses = {"search": "forecast", "search, reuse alone": "reuse"}
        named = {name: runs.get(f"search, {use}, {speedup:g}x") for name, use in uses.items()}
        lines += rows(speedup, {**named, **needing_no_search(others, speedup, ("quick", "DPCache", "steps"))}, "search")
    return lines


if __name__ == "__main__":
    typer.run(main)
