"""Writes the figures of README and docs from the results of the benchmarks: ``python -m scripts.docs.make_figures``.

A figure or a table stands between a comment with its name and one that ends it::

    In the transformer alone <!-- figure: arrived-pixart -->0.934<!-- end --> of it arrives as time.

Pages hold what this script writes; a test compares.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.kept import EARLIER, kept_run
from benchmarks.machine import RESULTS
from benchmarks.runtime import (
    cache_flux,
    cache_report,
    cache_support,
    engine_outputs,
    skipped_steps,
    step_kinds,
    step_profile,
    transformer_speed,
    wall_time,
)
from benchmarks.search import earlier_held_out, efficiency_report
from benchmarks.search.our_search import OURS
from benchmarks.search.sample_efficiency import ECAD, PARTS
from benchmarks.system import (
    fuzz,
    growth,
    real_workers,
    scale_simulation,
    scale_trace,
    storage_faults,
    structured_fuzz,
    threads,
)
from ecad_automl import flow_shapes
from scripts.docs.bed_figures import BED_FIGURES

__all__ = ["FIGURES", "PAGES", "main", "written"]

_ROOT = Path(__file__).parents[2]
PAGES = (_ROOT / "README.md", *sorted((_ROOT / "docs").glob("*.md")))
_FIGURE = re.compile(r"(?P<start><!-- figure: (?P<name>[\w.-]+) -->)(?P<text>.*?)(?P<end><!-- end -->)", re.DOTALL)

_HYPERVOLUME = "hypervolume after the images of so many whole evaluations"


@cache
def _result(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text())


def _efficiency(landscape: str, marks: Sequence[int]) -> str:
    found = _result(f"sample_efficiency-{landscape}")
    values = {
        name: {mark: of[str(mark)] for mark in marks if str(mark) in of}
        for name, of in found[_HYPERVOLUME].items()
        if name not in PARTS
    }
    return efficiency_report.table(values, found["seeds"])


def _needed(name: str = OURS) -> list[int]:
    found: list[int] = _result("sample_efficiency-shapes")["images to the level"][name]
    return found


def _wide(name: str) -> str:
    found = _result("sample_efficiency-shapes")["hypervolume down to the cheapest schedule"]
    return f"{np.median(found[name]['100']):.3f}"


def _level() -> dict[str, Any]:
    found: dict[str, Any] = _result("sample_efficiency-shapes")["level"]
    return found


def _seeds_share() -> float:
    """Hypervolume of the seeds of a search, which are the same in all, as a share of the level."""
    run = kept_run("shapes", OURS, 0, EARLIER)
    assert run is not None
    return float(run.about["generations"][0][2]) / float(_level()["hypervolume"])


def _less_than_whole() -> dict[str, Any]:
    found: dict[str, Any] = _result("sample_efficiency-shapes")["less than the whole search"]
    return found


@cache
def _held_out_rows() -> list[earlier_held_out.Row]:
    return earlier_held_out.rows(_result("held_out-shapes"))


def _coverage(captions: int) -> str:
    found = 100 * earlier_held_out.coverage(_result("held_out-shapes"), captions)
    return f"{found.min():.0f} to {found.max():.0f} %"


def _beside(search: str, speedup: float) -> earlier_held_out.Row:
    (row,) = (row for row in _held_out_rows() if row.at_least == speedup and row.search == search)
    return row


def _won(search: str, speedup: float) -> str:
    """Share of captions on which another search is better than this one."""
    row = _beside(search, speedup)
    assert row.beside is not None
    return f"{100 * (1 - row.beside.won):.0f} %"


def _speed(model: str) -> Any:
    (section,) = _result(f"transformer_speed-{model}-cpu")["sections"]
    return section


def _speed_of(model: str, *starts: str) -> str:
    (row,) = (row for row in _speed(model)["rows"] if row["name"].startswith(starts))
    low, high = row["quartiles"]
    return f"{row['speedup']:.2f}x ({low:.2f} to {high:.2f})"


def _longer(model: str, name: str, other: str) -> str:
    """By how much a run takes longer than another one of the same rounds."""
    first, second = (next(row for row in _speed(model)["rows"] if row["name"] == each) for each in (name, other))
    low, median, high = np.percentile(100 * (np.divide(first["seconds"], second["seconds"]) - 1), (25, 50, 75))
    return f"{median:.1f} % ({low:.1f} to {high:.1f} %)"


def _overhead() -> str:
    seconds = _result("overhead")["without evaluation"]["seconds per candidate, by stored trials"].values()
    return f"{min(seconds):.2f} to {max(seconds):.2f}"


def _demo_minutes(row: int) -> str:
    return f"{_result('demo_time')['rows'][row]['seconds'] / 60:.1f}"


def _new_user(way: str, clock: str) -> str:
    return f"{_result('new_user')['seconds to an applied schedule'][way][clock]:.0f} s"


def _text(name: str) -> str:
    """What a script has written beside its JSON file, for pages that show all of it."""
    return (RESULTS / f"{name}.md").read_text().strip()


def _at(name: str, *path: str, text: str = "{:.1f}") -> str:
    """A number of a result, or the median of several, by the names that lead to it."""
    found = _result(name)
    for part in path:
        found = found[part]
    return text.format(float(np.median(found)))


def _drawn(what: str) -> str:
    return _at("report_time", f"milliseconds until {what} is drawn", "median", text="{:,.0f}")


def _dashboard_pages() -> str:
    pages = _result("dashboard_time")["with notes"]["pages"]
    names = {"list": "list of studies", "study": "study, with four plots and the front"}
    names["trial"] = "a schedule of the front, with note and pictures"
    lines = ["| page | first | again (median) |", "|---|---|---|"]
    for key, name in names.items():
        parts = [pages[key][f"computing seconds of the {who}"] for who in ("server", "page")]
        first, again = (sum(part[when] for part in parts) for when in ("first", "again"))
        lines.append(f"| {name} | {first:.1f} | {again:.1f} |")
    return "\n".join(lines)


def _answer(way: str, when: str) -> str:
    return _at("dashboard_time", "with notes", "answer", way, "computing seconds", when)


def _worker_memory(executor: str, dtype: str, figure: str) -> str:
    rows = _result("worker_memory")["rows"]
    wanted = {"executor": executor, "dtype": dtype, "workers": 2}
    (row,) = (row for row in rows if wanted.items() <= row.items())
    return str(row[figure])


def _busy_seconds(executor: str) -> str:
    """How long a busy worker took for a candidate: where generations overlap, and where they do not."""
    found = _result("real_workers")
    rows = {row["generations overlap"]: row for row in found["searches"] if row["executor"] == executor}
    busy = [
        row["utilisation"] * found["workers"] * row["seconds"] / row["candidates"] for row in (rows[True], rows[False])
    ]
    return "{:.1f} and {:.1f}".format(*busy)


def _simulated_coverage(prompts: int) -> str:
    found = _result("evaluation_throughput")["coverage of 95 % intervals"]
    shares = {f"{100 * value:.0f}" for name, value in found.items() if name.startswith(f"{prompts} prompts")}
    return " to ".join(sorted(shares)) + " %"


def _range(values: Sequence[float], text: str = "{:.0f} to {:.0f}") -> str:
    return text.format(min(values), max(values))


def _quality() -> str:
    """What the bundled FLUX model gets right, and what its judge and its autoencoder do."""
    found = json.loads((flow_shapes.WEIGHTS / "quality.json").read_text())
    rows = {
        "classifier": "classifier on held-out renders",
        "autoencoder": "autoencoder on held-out renders",
        "guidance 3, one call a step": "held-out captions",
        "no guidance": "held-out captions without guidance",
        "guidance 3, two calls a step": "held-out captions guided in two calls",
    }
    lines = ["| | whole pictures | all attributes | least attribute |", "|---|---|---|---|"]
    for name, key in rows.items():
        of = dict(found[key])
        whole = of.pop("whole pictures")
        every = of.pop("all attributes") if "all attributes" in of else of.pop("all")
        least = min(of, key=lambda attribute: of[attribute])
        lines.append(f"| {name} | {whole:.0%} | {every:.1%} | {least}, {of[least]:.0%} |")
    return "\n".join(lines)


def _converged(steps: int) -> str:
    found = json.loads((flow_shapes.WEIGHTS / "quality.json").read_text())["convergence"]
    return f"{found[f'PSNR of 28 against {steps} steps']:.1f}"


def _caches() -> list[cache_report.Measured]:
    return cache_report.measured(_result("cache_rivals")["runs"])


def _cache_losses(series: str, low: float, high: float) -> str:
    """What settings of a series lose that save between two factors, by what they save."""
    rows = [row for row in _caches() if row.series == series and low <= row.mac_speedup <= high]
    told = [f"{-row.reward.mean():.3f} at {row.mac_speedup:.2f}x" for row in rows]
    return " and ".join([", ".join(told[:-1]), told[-1]] if len(told) > 1 else told)


def _best_cache(speedup: float) -> str:
    """Of all caches the setting that loses least among those that save as much."""
    rows = [
        row for row in _caches() if row.series.startswith(("diffusers", "cache-dit")) and row.mac_speedup >= speedup
    ]
    best = max(rows, key=lambda row: float(row.reward.mean()))
    return f"{-best.reward.mean():.3f} at {best.mac_speedup:.2f}x"


def _arrived(*starts: str) -> str:
    """Time saved over MACs saved on the small FLUX, of rows whose names begin so."""
    rows = [
        row for row in _result("cache_rivals-flux")["rows"] if row["name"].startswith(starts) and "failed" not in row
    ]
    return _range([row["time_speedup"] / row["mac_speedup"] for row in rows], "{:.2f} to {:.2f}")


#: By name, what stands on a page.
FIGURES: Mapping[str, Callable[[], str]] = {
    "held-out-all": lambda: earlier_held_out.table(_held_out_rows()),
    "held-out-6-steps-won": partial(_won, "6 steps, uncached", 3.0),
    "held-out-6-steps-p": lambda: f"{_beside('6 steps, uncached', 3.0).beside.p:.1g}",  # type: ignore[union-attr]
    **BED_FIGURES,
    "step-profile": lambda: step_profile.table(_result("step_profile-flux-384")),
    "step-kinds": lambda: "\n".join(step_kinds.table(_result("step_kinds-pixart-384-cpu")["rows"])),
    "caches-best-3x": partial(_best_cache, 3.0),
    "caches-search-3x": partial(_cache_losses, OURS, 2.9, 3.5),
    "caches-search-1.9x": partial(_cache_losses, OURS, 1.84, 1.95),
    "caches-lite-2": partial(_cache_losses, "diffusers TaylorSeer lite", 1.5, 2.0),
    "caches-lite-3": partial(_cache_losses, "diffusers TaylorSeer lite", 2.0, 2.5),
    "caches-lite-4": partial(_cache_losses, "diffusers TaylorSeer lite", 2.5, 3.5),
    "flux-arrived-schedules": partial(_arrived, "FORA", "whole steps"),
    "flux-arrived-taylorseer": partial(_arrived, "diffusers TaylorSeer, order"),
    "quality-flow-shapes": _quality,
    "converged": partial(_converged, 56),
    "converged-half": partial(_converged, 14),
    "coverage-24": partial(_coverage, 24),
    "coverage-96": partial(_coverage, 96),
    "searches-shapes": partial(_efficiency, "shapes", (24, 50, 100, 300, 1000, 2000)),
    "searches-euler-14": partial(_efficiency, "shapes-euler-14", (24, 50, 100)),
    "searches-unipc-24": partial(_efficiency, "shapes-unipc-24", (24, 50, 100)),
    "level": lambda: f"{_level()['hypervolume']:.4f}",
    "level-images": lambda: f"{_level()['images']:,}",
    "needed-images": lambda: _range(_needed()),
    "needed-fewer": lambda: _range([_level()["images"] / images for images in _needed()]),
    "needed-dpcache": lambda: f"{_needed('DPCache-like')[0]}",
    "wide-ours": partial(_wide, OURS),
    "wide-ecad": partial(_wide, ECAD),
    "seeds-share": lambda: f"{100 * _seeds_share():.2f} %",
    "left-out": lambda: efficiency_report.left_out_table(_less_than_whole()["differences"]),
    "left-out-evaluations": lambda: str(_less_than_whole()["evaluations"]),
    "speed-pixart": lambda: transformer_speed.table(_speed("pixart-384")),
    "arrived-pixart": lambda: f"{transformer_speed.median_arrived(_speed('pixart-384')):.3f}",
    "arrived-flux": lambda: f"{transformer_speed.median_arrived(_speed('flux-384')):.3f}",
    "arrived-flux-wide": lambda: f"{transformer_speed.median_arrived(_speed('flux-768')):.3f}",
    "speed-first-block-cache-wide": partial(_speed_of, "flux-768", "diffusers FirstBlockCache"),
    "speed-whole-steps-wide": partial(_speed_of, "flux-768", "whole steps of about the MACs of First"),
    "forecast-longer-flux": partial(_longer, "flux-384", "forecasts, FORA 3", "FORA 3"),
    "forecast-longer-pixart": partial(_longer, "pixart-384", "forecasts, FORA 3", "FORA 3"),
    "speed-first-block-cache": partial(_speed_of, "flux-384", "First Block Cache", "diffusers FirstBlockCache"),
    "speed-whole-steps": partial(
        _speed_of, "flux-384", "whole steps of about the same MACs", "whole steps of about the MACs of First Block"
    ),
    "skipped-steps": lambda: skipped_steps.table(_result("skipped_steps")["rows"]),
    "demo-alone": partial(_demo_minutes, 0),
    "demo-busy": partial(_demo_minutes, 1),
    "threads": lambda: threads.table(_result("threads")),
    "threads-load": lambda: f"{_result('threads')['load average'][1]:.0f}",
    "wall-time": lambda: wall_time.table(_result("wall_time")["rows"]),
    "fuzz": lambda: fuzz.table(_result("fuzz")),
    "structured-fuzz": lambda: structured_fuzz.table(_result("structured_fuzz")),
    "diffusers-tests": partial(_text, "diffusers_tests"),
    "lowest-versions": partial(_text, "lowest_versions"),
    "contracts": partial(_text, "contracts"),
    "optuna-storages": lambda: str(_result("contracts")["contracts"]["Optuna's tests of storages"]["cases"]["held"]),
    "storage-faults": lambda: storage_faults.table(_result("storage_faults")),
    "growth": lambda: growth.table(_result("growth")["processor seconds"]),
    "overhead": _overhead,
    "overhead-shapes": lambda: f"{_result('overhead')['shapes']['seconds of overhead per candidate']:.2f}",
    "evaluation-shapes": lambda: f"{_result('overhead')['shapes']['seconds of evaluation per candidate']:.2f}",
    "overhead-share": lambda: f"{100 * _result('overhead')['shapes']['share of overhead']:.0f} %",
    "new-user-quick": partial(_new_user, "quick", "of wall time"),
    "new-user-quick-processor": partial(_new_user, "quick", "of processor time"),
    "new-user-search": partial(_new_user, "search", "of wall time"),
    "new-user-search-processor": partial(_new_user, "search", "of processor time"),
    "new-user-load": lambda: _range(_result("new_user")["load average"]),
    "new-user-promised": lambda: f"{_result('new_user')['result']['MAC speedup promised']:.2f}x",
    "new-user-counted": lambda: f"{_result('new_user')['result']['MAC speedup counted']:.2f}x",
    "new-user-faster": lambda: f"{_result('new_user')['result']['times as fast']['median']:.2f}",
    "new-user-faster-range": lambda: _range(_result("new_user")["result"]["times as fast"]["all"], "{:.2f} to {:.2f}"),
    "real-workers": lambda: real_workers.table(_result("real_workers")["searches"]),
    "real-workers-busy": lambda: _busy_seconds("processes"),
    "real-workers-busy-ray": lambda: _busy_seconds("ray"),
    "scale-trace": lambda: scale_trace.table(_result("scale_trace")),
    "scale-simulation": lambda: scale_simulation.table(_result("scale_simulation")["cases"].values()),
    "backup": partial(_text, "backup_time"),
    "binary-search": partial(_text, "binary_search"),
    "dashboard-pages": _dashboard_pages,
    "dashboard-first-answer": partial(_answer, "ours", "first"),
    "dashboard-next-answer": partial(_answer, "ours", "again"),
    "dashboard-nothing-new": partial(_answer, "ours", "nothing new after ten seconds"),
    "dashboard-nothing-new-optuna": partial(_answer, "with Optuna's own storage", "nothing new after ten seconds"),
    "dashboard-study-first": partial(
        _at, "dashboard_time", "with notes", "pages", "study", "seconds", "first", text="{:.0f}"
    ),
    "dashboard-study-again": partial(
        _at, "dashboard_time", "with notes", "pages", "study", "seconds", "again", text="{:.0f}"
    ),
    "dashboard-load": partial(_at, "dashboard_time", "load average", text="{:.0f}"),
    "dashboard-notes": partial(
        _at, "dashboard_time", "writing notes and pictures", "first", "computing seconds", text="{:.0f}"
    ),
    "dashboard-notes-again": partial(
        _at, "dashboard_time", "writing notes and pictures", "again", "seconds", text="{:.0f}"
    ),
    "report-megabytes": partial(_at, "report_time", "megabytes"),
    "report-written": partial(_at, "report_time", "seconds to write"),
    "report-front": partial(_at, "report_time", "milliseconds until the front is drawn", "median", text="{:,.0f}"),
    "report-all": partial(_at, "report_time", "milliseconds until all is drawn", "median", text="{:,.0f}"),
    "report-chosen": partial(
        _at, "report_time", "milliseconds until a chosen schedule is drawn", "median", text="{:.0f}"
    ),
    "resume-1000": partial(_at, "resume_time", "trials", "1000", "processor"),
    "resume-5000": partial(_at, "resume_time", "trials", "5000", "processor"),
    "resume-10000": partial(_at, "resume_time", "trials", "10000", "processor"),
    "weights-float32": partial(_worker_memory, "processes", "float32", "weights_mb"),
    "workers-float32": partial(_worker_memory, "processes", "float32", "weights_in_memory_mb"),
    "actors-float32": partial(_worker_memory, "ray", "float32", "weights_in_memory_mb"),
    "weights-bfloat16": partial(_worker_memory, "processes", "bfloat16", "weights_mb"),
    "workers-bfloat16": partial(_worker_memory, "processes", "bfloat16", "weights_in_memory_mb"),
    "generation-shared": lambda: f"{100 * _result('generation_throughput')['shared MACs']:.0f} %",
    "generation-throughput": partial(
        _at, "generation_throughput", "evaluation / bare loop, by processor time", text="{:.2f}"
    ),
    "generation-throughput-range": lambda: _range(
        _result("generation_throughput")["evaluation / bare loop, by processor time"], "{:.2f} to {:.2f}"
    ),
    "throughput": partial(_at, "evaluation_throughput", "evaluation / bare loop", text="{:.2f}"),
    "throughput-range": lambda: _range(_result("evaluation_throughput")["evaluation / bare loop"], "{:.2f} to {:.2f}"),
    "simulated-coverage-96": partial(_simulated_coverage, 96),
    "simulated-coverage-24": partial(_simulated_coverage, 24),
    "engine-outputs": lambda: engine_outputs.table(_result("engine_outputs")),
    "caches": lambda: "\n".join(cache_report.overview(_caches())),
    "caches-flux": lambda: "\n".join(cache_flux.best(_result("cache_rivals-flux")["rows"])),
    "caches-support": lambda: cache_support.table(_result("cache_support")["outcomes"]),
    "caches-compiled": lambda: cache_support.compiled_table(_result("cache_support")["compiled_flux"]),
}


def written(text: str) -> str:
    """A page with its figures as the results have them.

    Raises:
        ValueError: there is no figure of a name, or a line begins with a comment inside of a sentence, which Markdown
            would take for a block.
    """

    def figure(match: re.Match[str]) -> str:
        if match["name"] not in FIGURES:
            raise ValueError(f"there is no figure {match['name']!r}; there are {', '.join(FIGURES)}")
        found = FIGURES[match["name"]]()
        if "\n" in found:
            return f"{match['start']}\n\n{found}\n\n{match['end']}"
        line = text[text.rfind("\n", 0, match.start()) + 1 : match.start()]
        if not line.strip():
            raise ValueError(f"figure {match['name']!r} stands at the beginning of a line")
        return f"{match['start']}{found}{match['end']}"

    return _FIGURE.sub(figure, text)


def main() -> None:
    """Write the pages anew, and name those that changed."""
    for page in PAGES:
        before = page.read_text(encoding="utf-8")
        after = written(before)
        if after != before:
            page.write_text(after, encoding="utf-8")
            sys.stdout.write(f"{page.relative_to(_ROOT)}\n")


if __name__ == "__main__":
    main()
