"""Takes the pictures of dashboard and report: ``python -m scripts.docs.make_screenshots --storage demo/shapes.db``.

They show a real study of the bundled model, that of ``make demo``, in Chromium. The study is copied first; notes in the
pictures name it as a user in its folder would. Images of the dashboard are taken from the folder of pictures beside the
database where ``ecad-automl dashboard --images 3`` has left them there, and else made.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

__all__ = ["IMAGES", "PICTURES", "main"]

IMAGES = Path(__file__).parents[2] / "docs" / "images"

#: Names of the files that are made.
PICTURES = (
    "dashboard-note.png",
    "dashboard-trial.png",
    "dashboard-pictures.png",
    "dashboard-plots.png",
    "report-light.png",
    "report-dark.png",
    "report-compare.png",
    "report-images.png",
)
_BROWSER = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars")
#: A schedule worth looking at saves about so much.
_SPEEDUP = 3.0
#: Milliseconds; a machine that does other work is slow.
_LONGEST = 300_000
_PROMPTS = 3
#: The dashboard shows plots in the order of a set of their names; with this seed of hashes the front comes first.
_HASH_SEED = "0"


def main() -> None:
    """Take all pictures, or those whose name begins as asked for."""
    parser = argparse.ArgumentParser(description="Take the pictures of dashboard and report from a study of shapes.")
    parser.add_argument("--storage", type=Path, default=Path("demo/shapes.db"), help="its database")
    parser.add_argument("--out", type=Path, default=IMAGES)
    parser.add_argument("beginning", nargs="?", default="", help="dashboard or report; both by default")
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.exit("There is no Chromium; install Debian's: apt-get install chromium")
    if not options.storage.exists():
        sys.exit(f"{options.storage} does not exist; run make demo, or name another database by --storage.")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        database = _copied(options.storage, Path(folder))
        browser = playwright.chromium.launch(executable_path=chromium, args=list(_BROWSER))
        number = _chosen(database)
        if "dashboard".startswith(options.beginning[:9]):
            _dashboard(browser, database, number, options.out)
        if "report".startswith(options.beginning[:6]):
            _report(browser, database, number, options.out)
        browser.close()


def _copied(storage: Path, folder: Path) -> Path:
    """A copy with all that is still in its log, and its pictures."""
    database = folder / "shapes.db"
    with closing(sqlite3.connect(storage)) as source, closing(sqlite3.connect(database)) as target:
        source.backup(target)
    pictures = storage.with_name(f"{storage.name}.artifacts")
    if pictures.exists():
        shutil.copytree(pictures, folder / "shapes.db.artifacts")
    return database


def _chosen(database: Path) -> int:
    """The trial of the bred schedule on the front that saves closest to what is worth looking at."""
    from ecad_automl.api.stored import read_study

    study = read_study(str(database), None)
    bred = [record for record in study.front if record.origin == "bred" and record.trial is not None]
    best = min(bred, key=lambda record: abs(record.speedup - _SPEEDUP))
    assert best.trial is not None
    return best.trial


def _dashboard(browser: Any, database: Path, number: int, out: Path) -> None:
    _cli(database, "dashboard", "--images", str(_PROMPTS), "--no-serve")
    with _served(database) as address:
        page = browser.new_page(viewport={"width": 1100, "height": 1300}, device_scale_factor=1.25)
        page.set_default_timeout(_LONGEST)
        page.goto(f"{address}/dashboard/studies/1/note")
        front = page.get_by_role("heading", name="Front", exact=True)
        front.wait_for()
        bottom = front.bounding_box()["y"] - 8
        page.screenshot(path=out / "dashboard-note.png", clip={"x": 0, "y": 0, "width": 1100, "height": bottom})
        # The pane of a trial scrolls by itself, so the window is made as high as it; the list of trials is left out.
        page.set_viewport_size({"width": 1280, "height": 3000})
        page.goto(f"{address}/dashboard/studies/1/trials?numbers={number}")
        page.get_by_text(f"Trial {number} (trial_id").first.wait_for()
        page.wait_for_function(
            "() => { const all = [...document.querySelectorAll('img')];"
            " return all.length > 1 && all.every(image => image.complete && image.naturalWidth > 0); }"
        )
        page.wait_for_timeout(1000)
        heading = page.get_by_text(f"Trial {number} (trial_id").last.bounding_box()
        grid, heatmap = (image.bounding_box() for image in page.locator("p img").all()[:2])
        left, width = heading["x"] - 16, grid["width"] + 64
        for name, top, bottom in (
            ("trial", heading["y"] - 12, grid["y"] - 8),
            ("pictures", grid["y"] - 8, heatmap["y"] + heatmap["height"] + 8),
        ):
            clip = {"x": left, "y": top, "width": width, "height": bottom - top}
            page.screenshot(path=out / f"dashboard-{name}.png", clip=clip)
        page.set_viewport_size({"width": 1240, "height": 1200})
        page.goto(f"{address}/dashboard/studies/1")
        page.wait_for_function("() => document.querySelectorAll('[id^=\"user-defined-plot\"] .main-svg').length >= 4")
        page.wait_for_timeout(2000)  # plots take the width of their cards after they were drawn
        boxes = [plot.bounding_box() for plot in page.locator('[id^="user-defined-plot"]').all()]
        left, top = min(box["x"] for box in boxes), min(box["y"] for box in boxes)
        right = max(box["x"] + box["width"] for box in boxes)
        bottom = max(box["y"] + box["height"] for box in boxes)
        clip = {"x": left, "y": top, "width": right - left, "height": bottom - top}
        page.screenshot(path=out / "dashboard-plots.png", clip=clip, full_page=True)
        page.close()


def _report(browser: Any, database: Path, number: int, out: Path) -> None:
    _cli(database, "report", "--images", str(_PROMPTS), "--out", "report.html")
    address = database.with_name("report.html").as_uri()

    def opened(width: int, height: int, scheme: str = "light") -> Any:
        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
        page.set_default_timeout(_LONGEST)
        page.goto(address)
        page.wait_for_selector("html[data-ready]")
        page.locator("tr.pick button", has_text=f"Trial {number}").first.click()
        page.mouse.move(1, 1)
        page.wait_for_timeout(1000)
        return page

    for scheme in ("light", "dark"):
        page = opened(1280, 1150, scheme)
        page.evaluate("window.scrollTo(0, 0)")
        page.screenshot(path=out / f"report-{scheme}.png")
        page.close()
    page = opened(1280, 1150)
    page.click("text=Compare as A")
    page.evaluate(
        "() => { const choice = document.getElementById('choice-b');"
        " const option = [...choice.options].find(each => each.text.includes('fora-3'));"
        " if (option) { choice.value = option.value; choice.dispatchEvent(new Event('change', {bubbles: true})); } }"
    )
    page.wait_for_timeout(1000)
    for part in ("compare", "images"):
        if part == "images":
            _choose_with_images(page, number)
        box = page.locator(f"#{part}").bounding_box()
        if box is not None:  # with a margin, so that nothing touches the edge
            top = page.evaluate("window.scrollY") + box["y"]
            clip = {"x": 0, "y": top, "width": 1280, "height": box["height"] + 16}
            page.screenshot(path=out / f"report-{part}.png", clip=clip, full_page=True)
    page.close()


def _choose_with_images(page: Any, number: int) -> None:
    """Click on the schedule with images that stands nearest to a trial in the table of the front."""
    rows = page.locator("tr.pick button")
    place = next(at for at, text in enumerate(rows.all_inner_texts()) if f"Trial {number}" in text)
    for at in sorted(range(rows.count()), key=lambda each: abs(each - place)):
        rows.nth(at).click()
        if "No images were made" not in page.locator("#images").inner_text():
            break
    page.mouse.move(1, 1)
    page.wait_for_timeout(1000)


def _cli(database: Path, command: str, *arguments: str) -> None:
    call = [sys.executable, "-m", "ecad_automl.cli", command, "--storage", f"sqlite:///{database.name}", *arguments]
    subprocess.run(call, cwd=database.parent, env=_environment(), check=True)  # noqa: S603 - our own command


def _environment() -> dict[str, str]:
    root = str(Path(__file__).parents[2])
    return {**os.environ, "PYTHONPATH": root, "PYTHONHASHSEED": _HASH_SEED}


@contextmanager
def _served(database: Path) -> Iterator[str]:
    """Address of the pages."""
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    call = [sys.executable, "-m", "ecad_automl.cli", "dashboard", "--storage", f"sqlite:///{database.name}"]
    server = subprocess.Popen(  # noqa: S603 - our own command
        [*call, "--no-annotate", "--port", str(port)],
        cwd=database.parent,
        env=_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(1200):
            try:
                with urllib.request.urlopen(f"{address}/api/meta", timeout=5):  # noqa: S310 - our own server
                    break
            except OSError:
                time.sleep(0.1)
        yield address
    finally:
        server.terminate()
        server.wait(timeout=60)


if __name__ == "__main__":
    main()
