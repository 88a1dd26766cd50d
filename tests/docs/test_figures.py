"""What pages say is what the benchmarks gave."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.machine import RESULTS
from benchmarks.runtime import cache_flux, cache_report, transformer_speed, wall_time
from benchmarks.search import baselines, earlier_held_out, lora
from benchmarks.search.bed_runs import kept_runs_of
from benchmarks.system import (
    contracts,
    diffusers_tests,
    fuzz,
    growth,
    lowest_versions,
    real_workers,
    scale_simulation,
    scale_trace,
    storage_faults,
    structured_fuzz,
)
from scripts.docs.make_figures import FIGURES, PAGES, written


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_figures_of_pages_are_those_of_the_results(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text == written(text), "run: python -m scripts.docs.make_figures"


def test_every_figure_stands_on_a_page() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [name for name in FIGURES if f"<!-- figure: {name} -->" not in text] == []


def test_a_figure_that_markdown_would_take_for_a_block_is_refused() -> None:
    assert (
        written("about <!-- figure: level -->7<!-- end --> of it") != "about <!-- figure: level -->7<!-- end --> of it"
    )
    with pytest.raises(ValueError, match="beginning of a line"):
        written("about\n<!-- figure: level -->7<!-- end --> of it")
    with pytest.raises(ValueError, match="no figure 'nothing'"):
        written("<!-- figure: nothing --><!-- end -->")


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("cache_rivals", lambda found: cache_report.table(found["runs"])),
        ("cache_rivals-flux", lambda found: cache_flux.table(found["rows"])),
        ("contracts", lambda found: contracts.table(found["contracts"])),
        ("diffusers_tests", diffusers_tests.table),
        ("fuzz", fuzz.table),
        ("growth", lambda found: growth.table(found["processor seconds"])),
        ("held_out-shapes", lambda found: earlier_held_out.table(earlier_held_out.rows(found))),
        ("lora-shapes", lambda found: "\n".join(lora.table(found["runs"], kept_runs_of(baselines.KIND, "shapes")))),
        ("lowest_versions", lowest_versions.page),
        ("real_workers", lambda found: real_workers.table(found["searches"])),
        ("storage_faults", storage_faults.table),
        ("structured_fuzz", structured_fuzz.table),
        ("scale_simulation", lambda found: scale_simulation.table(found["cases"].values())),
        ("scale_trace", scale_trace.table),
        ("transformer_speed-flux-384-cpu", lambda found: transformer_speed.report(found["sections"])),
        ("transformer_speed-flux-768-cpu", lambda found: transformer_speed.report(found["sections"])),
        ("transformer_speed-pixart-384-cpu", lambda found: transformer_speed.report(found["sections"])),
        ("wall_time", lambda found: wall_time.table(found["rows"])),
    ],
)
def test_tables_beside_the_results_are_made_of_them(name: str, table: Callable[[Any], str]) -> None:
    found = json.loads((RESULTS / f"{name}.json").read_text())
    assert (RESULTS / f"{name}.md").read_text() == table(found) + "\n"
