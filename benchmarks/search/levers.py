"""What each lever of a search is worth on the test beds, on held-out captions: steps, guidance, forecasts and skips.

Searches of equal budget, whole and with one lever held, the surrogate and the first schedules among them, with several
seeds, since what two searches differ by is partly luck; and whole ones of half and of twice the budget. The runs of
``baselines.py`` on the same captions stand beside them: no uncached run of fewer steps may beat what the whole search
has found at its cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from benchmarks.code import ACCEPT, made_by
from benchmarks.machine import RESULTS
from benchmarks.search import baselines
from benchmarks.search.bed_runs import keep_runs, kept_runs_of, wanted_beds
from benchmarks.search.beds import BEDS, HELD_OUT_NOISES, load_bed
from benchmarks.search.protocol import SPEEDUPS
from benchmarks.search.searched import HEAD, needing_no_search, rows, searched_contestants, searched_front
from ecad_automl.bundled import BUNDLED
from studies.config import SearchConfig

__all__ = ["BUDGETS", "CONFIGS", "KIND", "LEVERS", "WHOLE", "over_seeds", "table"]

KIND = "levers"

_MADE_BY = "benchmarks.search.levers"

WHOLE = "search"
_SEEDS = (0, 1, 2, 3, 4)
#: In the name of a kept run, after its lever and its saving.
_OF_SEED = ", seed "
#: Options of the searches.
LEVERS: Mapping[str, Mapping[str, Any]] = {
    WHOLE: {},
    "steps fixed": {"fixed_steps": True},
    "guidance kept": {"guidance": "keep"},
    "whole steps alone": {"use": "skip"},
    "not fitted": {"fit": False},
    "reuse alone": {"use": "reuse"},
}
#: Whole searches of other budgets than the others have, in evaluations.
BUDGETS: Mapping[str, int] = {"25 evaluations": 25, "100 evaluations": 100}
#: What whole searches are configured with where it is not the default.
CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "without surrogate": {"surrogate": False},
    "without seeds": {"step_seeds": 0, "drift_seeds": 0},
    **{name: {"evaluations": number} for name, number in BUDGETS.items()},
}


def main(
    bed: Annotated[list[str] | None, typer.Option(help="Which beds; all but the last one by default.")] = None,
    lever: Annotated[list[str] | None, typer.Option(help="Which searches; what is kept of the others stays.")] = None,
    captions: int = 32,
    evaluations: int = 50,
    seed: Annotated[list[int] | None, typer.Option(help="Of the searches; 0 to 4 by default.")] = None,
    work: Annotated[Path, typer.Option(help="Folder of the searches, which go on there.")] = Path("runs/levers"),
    results: Path = RESULTS,
    accept_other_code: Annotated[bool, typer.Option("--accept-other-code", help=ACCEPT)] = False,
) -> None:
    """Run what is not kept yet, and write the tables."""
    for name in wanted_beds(bed):
        evaluator, layout = load_bed(BEDS[name], split="held-out", captions=captions, noises=HELD_OUT_NOISES)
        code = made_by((_MADE_BY,), BUNDLED[BEDS[name].model].weights)["code"]  # another study for other code
        contestants = {}
        for each, number in product(lever or (*LEVERS, *CONFIGS), seed or _SEEDS):
            options = LEVERS.get(each, {})
            if "guidance" in options and not BEDS[name].guided:
                continue
            database = work / f"{name}-{each.replace(' ', '-')}-{number}-{code}.db"
            config = replace(SearchConfig(evaluations=evaluations, seed=number), **CONFIGS.get(each, {}))
            front = searched_front(BEDS[name], database, config, **options)
            found = searched_contestants(each, front, evaluator, layout, _MADE_BY)
            contestants |= {f"{run}{_OF_SEED}{number}": contestant for run, contestant in found.items()}
        runs = keep_runs(
            KIND,
            name,
            evaluator,
            contestants,
            results=results,
            accept_other_code=accept_other_code,
            beside=(*LEVERS, *CONFIGS),
        )
        lines = table(runs, kept_runs_of(baselines.KIND, name, results))
        (results / f"{KIND}-{name}.md").write_text("\n".join(lines) + "\n")
        Console().print("\n".join(lines), highlight=False)


def table(runs: Mapping[str, Any], others: Mapping[str, Any]) -> list[str]:
    """The searches, and what needs none, in Markdown.

    Args:
        runs: of the searches.
        others: of what needs no search, on the same captions or on more that begin with them.
    """
    lines = [*HEAD]
    for speedup in SPEEDUPS:
        named = {each: over_seeds(runs, each, speedup) for each in (*LEVERS, *CONFIGS)}
        lines += rows(speedup, {**named, **needing_no_search(others, speedup, ("quick", "steps"))}, WHOLE)
    return lines


def over_seeds(runs: Mapping[str, Any], search: str, speedup: float) -> dict[str, Any] | None:
    """Runs of one search with several seeds as one run of all their noises, at their mean cost; None without any.

    Args:
        runs: that are kept.
        search: its name, of ``LEVERS`` or ``CONFIGS``.
        speedup: what is saved.
    """
    found = [run for name, run in runs.items() if name.startswith(f"{search}, {speedup:g}x{_OF_SEED}")]
    if not found:
        return None
    joined = {name: np.concatenate([run[name] for run in found], axis=1) for name in ("loss", "psnr", "margin")}
    means = [np.mean(run["loss"]) for run in found]
    return {**joined, "saved": 1 / np.mean([1 / run["saved"] for run in found]), "means": means}


if __name__ == "__main__":
    typer.run(main)
