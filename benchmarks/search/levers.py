"""What each lever of a search is worth on the test beds, on held-out captions: steps, guidance, forecasts and skips.

Searches of equal budget, whole and with one lever held. The runs of ``baselines.py`` on the same captions stand beside
them: no uncached run of fewer steps may beat what the whole search has found at its cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

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

__all__ = ["KIND", "LEVERS", "WHOLE", "table"]

KIND = "levers"

_MADE_BY = "benchmarks.search.levers"

WHOLE = "search"
#: Options of the searches.
LEVERS: Mapping[str, Mapping[str, Any]] = {
    WHOLE: {},
    "steps fixed": {"fixed_steps": True},
    "guidance kept": {"guidance": "keep"},
    "whole steps alone": {"use": "skip"},
    "reuse alone": {"use": "reuse"},
}


def main(
    bed: Annotated[list[str] | None, typer.Option(help="Which beds; all but the last one by default.")] = None,
    lever: Annotated[list[str] | None, typer.Option(help="Which searches; what is kept of the others stays.")] = None,
    captions: int = 32,
    evaluations: int = 50,
    seed: Annotated[int, typer.Option(help="Of the searches.")] = 0,
    work: Annotated[Path, typer.Option(help="Folder of the searches, which go on there.")] = Path("runs/levers"),
    results: Path = RESULTS,
    accept_other_code: Annotated[bool, typer.Option("--accept-other-code", help=ACCEPT)] = False,
) -> None:
    """Run what is not kept yet, and write the tables."""
    for name in wanted_beds(bed):
        evaluator, layout = load_bed(BEDS[name], split="held-out", captions=captions, noises=HELD_OUT_NOISES)
        code = made_by((_MADE_BY,), BUNDLED[BEDS[name].model].weights)["code"]  # another study for other code
        contestants = {}
        wanted = [each for each in LEVERS if each in (lever or LEVERS)]
        for each in wanted:
            options = LEVERS[each]
            if "guidance" in options and not BEDS[name].guided:
                continue
            database = work / f"{name}-{each.replace(' ', '-')}-{seed}-{code}.db"
            front = searched_front(BEDS[name], database, SearchConfig(evaluations=evaluations, seed=seed), **options)
            contestants |= searched_contestants(each, front, evaluator, layout, _MADE_BY)
        others = [each for each in LEVERS if each not in wanted]
        runs = keep_runs(
            KIND,
            name,
            evaluator,
            contestants,
            results=results,
            accept_other_code=accept_other_code,
            beside=others,
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
        named = {lever: runs.get(f"{lever}, {speedup:g}x") for lever in LEVERS}
        lines += rows(speedup, {**named, **needing_no_search(others, speedup, ("quick", "steps"))}, WHOLE)
    return lines


if __name__ == "__main__":
    typer.run(main)
