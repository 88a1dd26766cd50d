"""How long the pages of a large study take in optuna-dashboard, in a real browser, and how long writing notes takes.

The study is made up, of PixArt-XL's 1,680 bits. Each page is opened several times in one browser: first after the
server was started, when it has read nothing yet, then again. A page counts as loaded when what people look for is seen:
on the list the study's name, on the study's page all plots that were saved for it, on a trial's page its note with all
pictures. Without notes, it is the list of best trials, and the heading of the trial.
"""

from __future__ import annotations

import json
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

from benchmarks.machine import machine
from benchmarks.made_up_study import PIXART, made_up_study
from ecad_automl.cli.studies import read_study

RESULTS = Path(__file__).parent / "results" / "dashboard_time.json"
_BROWSER = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync")
_PLOTS = "() => document.querySelectorAll('[id^=\"user-defined-plot\"] .main-svg').length >= 4"
_NOTE = (
    "() => [...document.querySelectorAll('img')].length > 0 && "
    "[...document.querySelectorAll('img')].every(image => image.complete && image.naturalWidth > 0)"
)


def main(
    folder: Path = Path("runs/dashboard_time"), trials: int = 5000, repeats: int = 5, results: Path = RESULTS
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
        "front": len(read_study(work, None).front()),
        "annotate_seconds": {"first": first, "again": again},
        "without notes": plain,
        "with notes": shown,
    }
    results.write_text(json.dumps(found, indent=1) + "\n")
    console.print_json(json.dumps(found))


def _annotate(database: Path) -> float:
    """Seconds of a whole command that writes all and serves nothing."""
    start = time.perf_counter()
    subprocess.run([*_command(database), "--no-serve"], check=True, stdout=subprocess.DEVNULL)
    return round(time.perf_counter() - start, 2)


def _pages(database: Path, trials: int, repeats: int, *, annotated: bool) -> dict[str, Any]:
    """Seconds of each page, first and again (median), and what the server sends for a study."""
    from playwright.sync_api import sync_playwright

    front = read_study(database, None).front()
    number = next(record.trial for record in front if record.trial is not None)
    waits: dict[str, tuple[str, Callable[[Any], object]]] = {
        "list": ("/dashboard", lambda page: page.get_by_text("made-up").first.wait_for(timeout=120_000)),
        "study": (
            "/dashboard/studies/1",
            lambda page: (
                page.wait_for_function(_PLOTS, timeout=120_000)
                if annotated
                else page.get_by_text("Best Trials").first.wait_for(timeout=120_000)
            ),
        ),
        "trial": (
            f"/dashboard/studies/1/trials?numbers={number}",
            lambda page: (
                page.get_by_text(f"Trial {number} (trial_id").first.wait_for(timeout=120_000),
                page.wait_for_function(_NOTE, timeout=120_000) if annotated else None,
            ),
        ),
    }
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("There is no Chromium; install Debian's: apt-get install chromium")
    seconds: dict[str, dict[str, float]] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(_BROWSER))
        for name, (path, wait) in waits.items():
            with _Server(database) as server:
                times = []
                for _ in range(repeats + 1):
                    page = browser.new_page(viewport={"width": 1500, "height": 1100})
                    start = time.perf_counter()
                    page.goto(server.address + path)
                    wait(page)
                    times.append(time.perf_counter() - start)
                    page.close()
            seconds[name] = {"first": round(times[0], 2), "again": round(float(np.median(times[1:])), 2)}
        browser.close()
    with _Server(database) as server:
        url = f"{server.address}/api/studies/1?after=0"
        answers = [_fetch(url) for _ in range(repeats + 1)]
        polls = [_fetch(f"{server.address}/api/studies/1?after={trials}") for _ in range(repeats)]
    return {
        "pages": seconds,
        "answer": {
            "megabytes": round(answers[0][1] / 1e6, 2),
            "first_seconds": round(answers[0][0], 2),
            "again_seconds": round(float(np.median([each[0] for each in answers[1:]])), 2),
            "poll_seconds": round(float(np.median([each[0] for each in polls])), 2),
        },
    }


def _fetch(url: str) -> tuple[float, int]:
    start = time.perf_counter()
    with urllib.request.urlopen(url, timeout=300) as answer:  # noqa: S310 - our own server
        size = len(answer.read())
    return time.perf_counter() - start, size


class _Server:
    """The command as a user starts it, on a free port."""

    def __init__(self, database: Path) -> None:
        with closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        self._process = subprocess.Popen(
            [*_command(database), "--no-annotate", "--port", str(port)],
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

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(timeout=30)


def _command(database: Path) -> list[str]:
    return [sys.executable, "-m", "ecad_automl.cli", "dashboard", "--storage", str(database)]


if __name__ == "__main__":
    typer.run(main)
