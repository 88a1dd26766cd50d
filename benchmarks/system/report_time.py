"""How long the report of a large study takes to write and to open, and how large it is.

A made-up study of PixArt-XL's layout (28 blocks, 1,680 bits) with random schedules, opened in Chromium without a GPU.
Needs Playwright and a Chromium.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.machine import RESULTS, machine
from benchmarks.made_up_study import PIXART, made_up_study
from ecad_automl.api.stored import read_study
from ecad_automl.views.report import html_page
from ecad_automl.views.report.data import Report

_TIMES = (
    "until the front is drawn",
    "until all is drawn",
    "until a chosen schedule is drawn",
    "of computing until all is drawn",
)
#: Milliseconds; a machine that does other work is slow.
_LONGEST = 600_000
_DRAWN = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))))"
_CHOOSE = f"""async () => {{
    const start = performance.now();
    document.querySelectorAll("tr.pick button")[5].click();
    return (await {_DRAWN}) - start;
}}"""


def open_page(browser: Any, path: Path) -> tuple[float, float, float, float]:
    """Milliseconds until the front of a new page is drawn, all of it is, and then until a chosen schedule is.

    The last figure is what the main thread of the page has computed until all was drawn; it does not depend on what
    else the machine does.
    """
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.goto(path.as_uri(), timeout=_LONGEST)
    page.wait_for_selector("html[data-ready]", timeout=_LONGEST)
    drawn = float(page.evaluate(_DRAWN))
    front = float(page.evaluate("performance.getEntriesByName('front drawn')[0].startTime"))
    metrics = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
    chosen = float(page.evaluate(_CHOOSE))
    page.close()
    return front, drawn, chosen, 1000 * metrics["TaskDuration"]


def main(
    evaluations: Annotated[int, typer.Option(help="Schedules of the made-up study.")] = 5000,
    repeats: Annotated[int, typer.Option(help="Times to open the page.")] = 7,
    out: Annotated[Path, typer.Option(help="File for the figures.")] = RESULTS / "report_time.json",
) -> None:
    """Make the study, write its report, open it."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        database, path = Path(folder) / "large.db", Path(folder) / "report.html"
        made_up_study(database, evaluations, size=PIXART)
        start = time.perf_counter()
        data = Report(read_study(database, None))
        path.write_text(html_page(data), encoding="utf-8")
        written = time.perf_counter() - start
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        opened = [open_page(browser, path) for _ in range(repeats)]
        figures = {
            "machine": machine(),
            "chromium": browser.version,
            "evaluations": len(data.schedules),
            "front": len(data.study.front),
            "seconds to write": round(written, 2),
            "megabytes": round(path.stat().st_size / 1e6, 2),
            "load average": round(os.getloadavg()[0], 1),
            **{
                f"milliseconds {what}": {"median": round(statistics.median(times)), "all": [round(t) for t in times]}
                for what, times in zip(_TIMES, zip(*opened, strict=True), strict=True)
            },
        }
        browser.close()
    out.write_text(json.dumps(figures, indent=2) + "\n")
    typer.echo(json.dumps(figures, indent=2))


if __name__ == "__main__":
    typer.run(main)
