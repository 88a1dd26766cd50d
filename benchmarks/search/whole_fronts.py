"""Every schedule of a search's front beside uncached runs of fewer steps, on held-out captions.

A search of 50 evaluations on each test bed is confirmed with the public interface: on captions and noises that it has
not seen, its whole front is scored, and for each schedule of it the uncached run of most steps that costs no more. A
search that is there, and what was scored of it, is not made again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console

from benchmarks.code import made_by
from benchmarks.machine import RESULTS, machine
from benchmarks.search.bed_runs import wanted_beds
from benchmarks.search.beds import BEDS, HELD_OUT_NOISES, model_of
from benchmarks.search.protocol import SPEEDUPS, compare
from benchmarks.search.searched import searched_front
from ecad_automl.bundled import BUNDLED
from studies.config import SearchConfig

__all__ = ["KIND", "equal_quality", "table"]

KIND = "whole_fronts"

Floats = NDArray[np.float64]


def main(
    bed: Annotated[list[str] | None, typer.Option(help="Which beds; all but the last one by default.")] = None,
    captions: int = 32,
    evaluations: int = 50,
    seed: int = 0,
    work: Annotated[Path, typer.Option(help="Folder of the searches, which go on there.")] = Path("runs/whole_fronts"),
    results: Path = RESULTS,
) -> None:
    """Search, confirm and write what was found."""
    path = results / f"{KIND}.json"
    found = json.loads(path.read_text()) if path.exists() else {}
    for name in wanted_beds(bed):
        about = made_by(("benchmarks.search.whole_fronts",), BUNDLED[BEDS[name].model].weights)
        database = work / f"{name}-{seed}-{about['code']}.db"
        searched_front(BEDS[name], database, SearchConfig(evaluations=evaluations, seed=seed))
        settings = {"captions": captions, "noises": HELD_OUT_NOISES, "evaluations": evaluations, "seed": seed}
        found[name] = {**about, "machine": machine(), **settings, "runs": _confirmed(name, database, captions)}
        path.write_text(json.dumps(found) + "\n")
    Console().print("\n".join([*table(found), "", *equal_quality(found)]), highlight=False, soft_wrap=True)


def _confirmed(bed: str, database: Path, captions: int) -> list[dict[str, Any]]:
    """What was scored on held-out captions: the front, and uncached runs of fewer steps, the cheapest first."""
    import ecad_automl
    from storage import Store
    from studies.confirmation import load_confirmation

    texts = BUNDLED[BEDS[bed].model].prompts("held-out", captions)
    front = ecad_automl.Front.load(database)
    front.confirm(model_of(BEDS[bed]), texts, seeds=HELD_OUT_NOISES, reward=BEDS[bed].reward, batch_size=16)
    with Store.open(database, read_only=True) as store:
        found = load_confirmation(store, front.study)
    assert found is not None
    full = max(verdict.run.cost for verdict in found.verdicts.all)
    runs = []
    for verdict in found.verdicts.all:
        run = verdict.run
        uncached = run.label.endswith(" steps")
        if (run.chosen or uncached) and run.cost < full:
            loss = (-verdict.differences).round(5).tolist()
            runs.append({"run": run.label, "fewer steps": uncached, "saved": round(full / run.cost, 4), "loss": loss})
    return runs


def table(found: Mapping[str, Any]) -> list[str]:
    """In Markdown, of each bed how many schedules there are, and how far uncached runs of fewer steps are behind."""
    head = (
        "bed",
        "schedules that cost less than uncached",
        "fewer steps cost no more",
        "surely further",
        "nearer in the mean",
        "surely nearer",
        "loss of fewer steps / of the schedule: least, median",
    )
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for bed, of_bed in found.items():
        runs = of_bed["runs"]
        steps = [run for run in runs if run["fewer steps"]]
        schedules = [run for run in runs if not run["fewer steps"]]
        ratios, differences = [], []
        for schedule in schedules:
            rivals = [run for run in steps if run["saved"] >= schedule["saved"] * (1 - 1e-3)]
            if rivals:
                best = min(rivals, key=lambda run: float(np.mean(run["loss"])))
                theirs, ours = (np.array(run["loss"], dtype=np.float64) for run in (best, schedule))
                ratios.append(float(theirs.mean() / ours.mean()))
                differences.append(compare(theirs, ours))
        counts = [
            len(schedules),
            len(ratios),
            sum(each.low > 0 for each in differences),
            sum(each.difference <= 0 for each in differences),
            sum(each.high < 0 for each in differences),
        ]
        cells = " | ".join(map(str, counts))
        lines.append(f"| {bed} | {cells} | {min(ratios):.1f}, {float(np.median(ratios)):.1f} |")
    return lines


def equal_quality(found: Mapping[str, Any]) -> list[str]:
    """In Markdown, of uncached runs of fewer steps what they save, and what a schedule saves that is as near.

    Args:
        found: by bed. At each saving the run of most steps stands there, once.
    """
    head = ("bed", "fewer steps", "mean loss", "saved", "saved by a schedule of at most this loss", "its loss")
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for bed, of_bed in found.items():
        loss = {id(run): float(np.mean(run["loss"])) for run in of_bed["runs"]}
        steps = [run for run in of_bed["runs"] if run["fewer steps"]]
        schedules = [run for run in of_bed["runs"] if not run["fewer steps"]]
        shown = [min(s for run in steps if (s := float(run["saved"])) >= speedup) for speedup in SPEEDUPS]
        for run in (next(each for each in steps if each["saved"] == saved) for saved in dict.fromkeys(shown)):
            as_near = [each for each in schedules if loss[id(each)] <= loss[id(run)]]
            best = max(as_near, key=lambda each: float(each["saved"]))
            lines.append(
                f"| {bed} | {run['run']} | {loss[id(run)]:.4f} | {run['saved']:.2f}x | {best['saved']:.2f}x | "
                f"{loss[id(best)]:.4f} |"
            )
    return lines


if __name__ == "__main__":
    typer.run(main)
