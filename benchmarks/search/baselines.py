"""What needs no search, on held-out captions of each test bed: fewer steps, FORA, DPCache, caches, our quick front.

Runs are kept with their figures of every image, so that the script goes on where it was interrupted and tables of other
searches can be paired with them. Kept runs of other code are only taken when asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from benchmarks.code import ACCEPT
from benchmarks.machine import RESULTS
from benchmarks.search import baseline_report
from benchmarks.search.bed_runs import keep_runs, kept_runs_of, wanted_beds
from benchmarks.search.beds import BEDS, HELD_OUT_NOISES, load_bed
from benchmarks.search.known import known_contestants
from benchmarks.search.quick import quick_contestants

__all__ = ["KIND", "all_kept"]

KIND = "baselines"
#: The caches of diffusers and cache-dit, by ``cache_baselines.py``.
CACHES = "caches"


def main(
    bed: Annotated[list[str] | None, typer.Option(help="Which beds; all but the last one by default.")] = None,
    captions: int = 96,
    results: Path = RESULTS,
    quick: Annotated[bool, typer.Option(help="Run the quick front too; what is kept of it stays.")] = True,
    accept_other_code: Annotated[bool, typer.Option("--accept-other-code", help=ACCEPT)] = False,
) -> None:
    """Run what is not kept yet, and write the tables."""
    for name in wanted_beds(bed):
        evaluator, layout = load_bed(BEDS[name], split="held-out", captions=captions, noises=HELD_OUT_NOISES)
        contestants = known_contestants(evaluator, layout, BEDS[name])
        if quick:
            contestants |= quick_contestants(evaluator, BEDS[name])
        keep_runs(
            KIND,
            name,
            evaluator,
            contestants,
            results=results,
            accept_other_code=accept_other_code,
            beside=() if quick else ("quick",),
        )
        text = "\n".join(baseline_report.page(all_kept(name, results)))
        (results / f"{KIND}-{name}.md").write_text(text + "\n")
        Console().print(text, highlight=False, soft_wrap=True)


def all_kept(bed: str, results: Path = RESULTS) -> Mapping[str, Any]:
    """All runs on the held-out captions of a bed that need no search, by name."""
    return {**kept_runs_of(KIND, bed, results), **kept_runs_of(CACHES, bed, results)}


if __name__ == "__main__":
    typer.run(main)
