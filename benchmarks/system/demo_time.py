"""How long ``make demo`` takes: with nothing else to do, and beside one process that computes without end.

The repository is cloned as it is committed, and an environment that is there is used, since making one depends on the
network.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from benchmarks.code import made_by
from benchmarks.machine import RESULTS, machine

__all__ = ["table"]

REPOSITORY = RESULTS.parents[1]
WHERE = ("alone", "beside one busy process")


def main(
    environment: Annotated[Path, typer.Argument(help="A virtual environment with all packages.")] = Path(".venv"),
    out: Path = RESULTS / "demo_time.json",
) -> None:
    """Run both and write."""
    rows = []
    for where in WHERE:
        load = os.getloadavg()[0]
        with _busy(where != WHERE[0]):
            rows.append({"where": where, "seconds": round(_demo(environment.resolve()), 1), "load before": load})
    found = {"machine": machine(), **made_by(("benchmarks.system.demo_time", "studies.job")), "rows": rows}
    out.write_text(json.dumps(found, indent=2) + "\n")
    Console().print(table(found), highlight=False, soft_wrap=True)


def _demo(environment: Path) -> float:
    """Seconds of ``make demo`` in a fresh clone."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "--quiet", REPOSITORY, clone], check=True)  # noqa: S607
        (clone / ".venv").symlink_to(environment)
        # Packages of the environment, but the code of the clone.
        given = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        given |= {"PYTHONPATH": str(clone)}
        command = ["make", "--silent", "--assume-old=.venv/installed", "demo"]
        start = time.perf_counter()
        subprocess.run(command, cwd=clone, env=given, stdout=subprocess.DEVNULL, check=True)
        return time.perf_counter() - start


@contextmanager
def _busy(wanted: bool) -> Iterator[None]:
    if not wanted:
        yield
        return
    # Of a session of its own, as of another user: Linux shares processors out by sessions.
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"], start_new_session=True)
    try:
        yield
    finally:
        other.kill()
        other.wait()


def table(found: Mapping[str, Any]) -> str:
    """As Markdown."""
    lines = ["| `make demo` | minutes | load average before |", "|---|---|---|"]
    lines += [f"| {row['where']} | {row['seconds'] / 60:.1f} | {row['load before']:.1f} |" for row in found["rows"]]
    return "\n".join(lines)


if __name__ == "__main__":
    typer.run(main)
