"""What a backup and a check of a study database take, for studies of PixArt-XL's 1,680 bits."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import typer
from rich.console import Console

from benchmarks.machine import RESULTS, machine
from benchmarks.made_up_study import PIXART, made_up_study
from storage import back_up, check_database

SIZES = (500, 5000)


def main(repeats: int = 5, results: Path = RESULTS) -> None:
    """Measure at each size, and write the table.

    Args:
        repeats: of each measurement.
        results: where the table goes.
    """
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES:
            path = Path(folder) / f"{size}.db"
            with Console().status(f"A study of {size} trials ..."):
                made_up_study(path, size, size=PIXART)
            rows.append(
                {
                    "trials": size,
                    "MiB": round(path.stat().st_size / 2**20, 1),
                    "backup": _seconds(lambda path=path: back_up(path), repeats),
                    "check": _seconds(lambda path=path: check_database(path), repeats),
                }
            )
    document = {"machine": machine(), "repeats": repeats, "sizes": rows}
    (results / "backup_time.json").write_text(json.dumps(document, indent=2) + "\n")
    lines = ["| trials | file | backup | check |", "|---|---|---|---|"]
    lines += [f"| {r['trials']} | {r['MiB']} MiB | {_told(r['backup'])} | {_told(r['check'])} |" for r in rows]
    note = f"Processor seconds, median of {repeats} (range), by `python -m benchmarks.system.backup_time`."
    (results / "backup_time.md").write_text("\n".join([note, "", *lines]) + "\n")
    Console().print("\n".join(lines), markup=False)


def _seconds(work: Callable[[], object], repeats: int) -> list[float]:
    found = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        found.append(round(time.process_time() - start, 4))
    return found


def _told(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.3f} s ({min(seconds):.3f} to {max(seconds):.3f})"


if __name__ == "__main__":
    typer.run(main)
