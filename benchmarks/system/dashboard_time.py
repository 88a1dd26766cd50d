"""How long the pages of a large study take in optuna-dashboard, in a real browser, and how long writing notes takes.

The study is made up, of PixArt-XL's 1,680 bits. Each page is opened several times in one browser: first after the
server was started, when it has read nothing yet, then again. A page counts as loaded when what people look for is seen:
on the list the study's name, on the study's page all plots that were saved for it, on a trial's page its note with all
pictures. Without notes, it is the first plot, and the heading of the trial.

Beside seconds until then stands what server and page computed for it, which does not depend on what else the machine
does. For comparison, the server is asked for a study also with Optuna's own storage under its pages.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import typer
from rich.console import Console

from benchmarks.machine import RESULTS, machine
from benchmarks.made_up_study import PIXART, made_up_study
from ecad_automl.api.stored import read_study

_BROWSER = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync")
#: Milliseconds; a machine that does other work is slow.
_LONGEST = 600_000
_FIGURES = ("seconds", "computing seconds of the server", "computing seconds of the page")
#: Seconds for which the dashboard does not look for new trials, and a little more.
_KEPT = 10.5
_PLOTS = "() => document.querySelectorAll('[id^=\"user-defined-plot\"] .main-svg').length >= 4"
_FRONT = "() => document.querySelectorAll('.js-plotly-plot .main-svg').length > 0"
_NOTE = (
    "() => [...document.querySelectorAll('img')].length > 0 && "
    "[...document.querySelectorAll('img')].every(image => image.complete && image.naturalWidth > 0)"
)


def main(
    folder: Path = Path("runs/dashboard_time"),
    trials: int = 5000,
    repeats: int = 5,
    results: Path = RESULTS / "dashboard_time.json",
) -> None:
    """Make the study where the folder has none, measure, and write the figures."""
    console = Console()
    folder.mkdir(parents=True, exist_ok=True)
    database = folder / f"study-{trials}.db"
    if not database.exists():
        start = time.perf_counter()
        made_up_study(database, trials, size=PIXART)
        console.print(f"{trials} trials made up in {time.perf_counter() - start:.0f} s")
    shutil.rmtree(f"{database}.artifacts", ignore_errors=True)
    work = folder / "annotated.db"
    for path in folder.glob("annotated.db*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copy(database, work)
    plain = _pages(database, trials, repeats, annotated=False)
    first, again = _annotate(work), _annotate(work)
    shown = _pages(work, trials, repeats, annotated=True)
    found = {
        "machine": machine(),
        "trials": trials,
        "front": len(read_study(work, None).front),
        "load average": round(os.getloadavg()[0], 1),
        "writing notes and pictures": {"first": first, "again": again},
        "without notes": plain,
        "with notes": shown,
    }
    results.write_text(json.dumps(found, indent=1) + "\n")
    console.print_json(json.dumps(found))


def _annotate(database: Path) -> dict[str, float]:
    """Seconds of a whole command that writes all and serves nothing."""
    before = os.times()
    subprocess.run([*_command(database), "--no-serve"], check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    computed = after.children_user + after.children_system - before.children_user - before.children_system
    return {"seconds": round(after.elapsed - before.elapsed, 2), "computing seconds": round(computed, 2)}


def _pages(database: Path, trials: int, repeats: int, *, annotated: bool) -> dict[str, Any]:
    """Seconds of each page, first and again (median), and what the server sends for a study."""
    from playwright.sync_api import sync_playwright

    front = read_study(database, None).front
    number = next(record.trial for record in front if record.trial is not None)
    waits: dict[str, tuple[str, Callable[[Any], object]]] = {
        "list": ("/dashboard", lambda page: page.get_by_text("made-up").first.wait_for(timeout=_LONGEST)),
        "study": (
            "/dashboard/studies/1",
            lambda page: (
                page.wait_for_function(_PLOTS, timeout=_LONGEST)
                if annotated
                else page.wait_for_function(_FRONT, timeout=_LONGEST)
            ),
        ),
        "trial": (
            f"/dashboard/studies/1/trials?numbers={number}",
            lambda page: (
                page.get_by_text(f"Trial {number} (trial_id").first.wait_for(timeout=_LONGEST),
                page.wait_for_function(_NOTE, timeout=_LONGEST) if annotated else None,
            ),
        ),
    }
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("There is no Chromium; install Debian's: apt-get install chromium")
    pages: dict[str, Any] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(_BROWSER))
        for name, (path, wait) in waits.items():
            with _Server(database) as server:
                visits = [_visit(browser, server, path, wait) for _ in range(repeats + 1)]
            pages[name] = {
                what: {"first": round(first, 2), "again": round(float(np.median(again)), 2)}
                for what, (first, *again) in zip(_FIGURES, zip(*visits, strict=True), strict=True)
            }
        browser.close()
    return {"pages": pages, "answer": _answers(database, trials, repeats)}


def _visit(browser: Any, server: _Server, path: str, wait: Callable[[Any], object]) -> tuple[float, float, float]:
    """Seconds until a page is seen, and of computing by the server and by the page's main thread."""
    page = browser.new_page(viewport={"width": 1500, "height": 1100})
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    start, before = time.perf_counter(), server.computed()
    page.goto(server.address + path, timeout=_LONGEST)
    wait(page)
    seconds, served = time.perf_counter() - start, server.computed() - before
    metrics = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
    page.close()
    return seconds, served, float(metrics["TaskDuration"])


def _answers(database: Path, trials: int, repeats: int) -> dict[str, Any]:
    """What the server sends for a study, and what it computes for it: first, again, and where nothing is new.

    The dashboard keeps trials for ten seconds; pages ask again when these are over.
    """
    found: dict[str, Any] = {}
    for name, own in (("ours", False), ("with Optuna's own storage", True)):
        with _Server(database, own_storage=own) as server:
            url = f"{server.address}/api/studies/1?after="
            first = _fetch(server, f"{url}0")
            again, later, polls = [], [], []
            for _ in range(repeats):
                again.append(_fetch(server, f"{url}0")[1])
                time.sleep(_KEPT)
                later.append(_fetch(server, f"{url}0")[1])
                time.sleep(_KEPT)
                polls.append(_fetch(server, f"{url}{trials}")[1])
        found[name] = {
            "megabytes": round(first[0] / 1e6, 2),
            "computing seconds": {
                "first": round(first[1], 2),
                "again": round(float(np.median(again)), 2),
                "after ten seconds": round(float(np.median(later)), 2),
                "nothing new after ten seconds": round(float(np.median(polls)), 2),
            },
        }
    return found


def _fetch(server: _Server, url: str) -> tuple[int, float]:
    """Bytes of an answer, and seconds that the server computed for it."""
    before = server.computed()
    with urllib.request.urlopen(url, timeout=600) as answer:  # noqa: S310 - our own server
        size = len(answer.read())
    return size, server.computed() - before


class _Server:
    """The command as a user starts it, on a free port; or the dashboard's own with Optuna's own storage."""

    def __init__(self, database: Path, *, own_storage: bool = False) -> None:
        with closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        plain = [str(Path(sys.executable).with_name("optuna-dashboard")), f"sqlite:///{database.absolute()}"]
        command = plain if own_storage else [*_command(database), "--no-annotate"]
        self._process = subprocess.Popen(
            [*command, "--port", str(port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def __enter__(self) -> _Server:
        for _ in range(600):
            try:
                with urllib.request.urlopen(f"{self.address}/api/meta", timeout=5):  # noqa: S310 - our own server
                    return self
            except OSError:
                time.sleep(0.1)
        raise SystemExit("The dashboard did not start.")

    def computed(self) -> float:
        """Seconds of processor time so far; Linux only."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(timeout=30)


def _command(database: Path) -> list[str]:
    return [sys.executable, "-m", "ecad_automl.cli", "dashboard", "--storage", str(database)]


if __name__ == "__main__":
    typer.run(main)
