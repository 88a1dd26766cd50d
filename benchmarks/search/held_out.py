"""What searches on the test beds have found, on captions and noises that no search has seen.

Of each kept search, each seed and each saving that schedule is taken which had the best reward in the search at equal
or lower cost. All are run on the held-out captions of ``baselines.py``, whose runs stand beside them. What was run
already is not run again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from benchmarks.code import ACCEPT
from benchmarks.kept import KEPT, kept_runs
from benchmarks.machine import RESULTS
from benchmarks.search import held_out_report
from benchmarks.search.baselines import all_kept
from benchmarks.search.bed_runs import keep_runs, wanted_beds
from benchmarks.search.beds import BEDS, HELD_OUT_NOISES, load_bed
from benchmarks.search.found import chosen, found_contestants, name_of
from benchmarks.search.our_search import VARIANTS
from benchmarks.search.rivals import RIVALS

__all__ = ["CHOSEN", "KIND"]

KIND = "held_out_searches"
#: Which of these runs stands for which search.
CHOSEN = "held_out_chosen"


def main(
    bed: Annotated[list[str] | None, typer.Option(help="Which beds; all but the last one by default.")] = None,
    captions: int = 96,
    results: Path = RESULTS,
    searches: Annotated[Path, typer.Option(help="Folder of the kept searches.")] = KEPT,
    accept_other_code: Annotated[bool, typer.Option("--accept-other-code", help=ACCEPT)] = False,
) -> None:
    """Run what is not kept yet, and write the tables and the plot."""
    for name in wanted_beds(bed):
        evaluator, layout = load_bed(BEDS[name], split="held-out", captions=captions, noises=HELD_OUT_NOISES)
        full = evaluator.settings.steps * layout.step_macs / 1e9
        stands: dict[str, Any] = {}
        genomes: dict[str, str] = {}
        for search in (*VARIANTS, *RIVALS):
            for seed, run in kept_runs(name, search, searches).items():
                best = chosen(run, full)
                genomes |= {name_of(genome): genome for genome in best.values()}
                of_seed = {f"{speedup:g}": name_of(genome) for speedup, genome in best.items()}
                entry = {"evaluations": run.evaluations, **run.made, "runs": of_seed}
                stands.setdefault(search, {})[str(seed)] = entry
        if not stands:
            Console().print(f"{name}: no search is kept in {searches / name}; nothing is run.", highlight=False)
            continue
        contestants = found_contestants(evaluator, layout, BEDS[name], genomes.values())
        runs = keep_runs(KIND, name, evaluator, contestants, results=results, accept_other_code=accept_other_code)
        (results / f"{CHOSEN}-{name}.json").write_text(json.dumps(stands, indent=1) + "\n")
        lines = held_out_report.page(stands, runs, all_kept(name, results))
        (results / f"{KIND}-{name}.md").write_text("\n".join(lines) + "\n")
        held_out_report.plot(results / f"{KIND}-{name}.png", name, held_out_report.fronts(stands, runs))
        Console().print("\n".join(lines), highlight=False, soft_wrap=True)


if __name__ == "__main__":
    typer.run(main)
