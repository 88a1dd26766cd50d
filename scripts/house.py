"""Figures of the house itself: size, public names, circles, and how many files a candidate and a schedule pass.

    python -m scripts.house                  the working tree
    python -m scripts.house --base v0.1      a revision and the working tree, side by side

What is counted, in the four packages:

- lines and files: of ``.py`` files, blank lines and comments included;
- public names: the sum of the lengths of ``__all__``, private modules aside, that is those whose name, or that of a
  folder above, begins with an underscore;
- circles: groups of modules that import each other, however far around, imports inside of functions and for types
  included;
- from genome to row: a small search of the bundled model is run twice, alike. In the second run all calls of functions
  of ours are watched for the last candidate that the first one bred. A file counts when a function in it is given that
  candidate or gives it back: as a ``Schedule``, as the text of its bits or as their array, by itself or inside of a
  list, tuple, dictionary or data class. An encode is a call of ``Schedule.to_genome`` on it, a decode one of
  ``Schedule.from_genome`` that makes it;
- from bits to a skipped product: the files in which a function runs during ``apply_schedule`` and two calls of the
  pipeline under a schedule that reuses; the blocks are recorded in the first.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from io import BytesIO
from pathlib import Path
from types import FrameType
from typing import Any

PACKAGES = ("ecad_automl", "surrogate", "studies", "storage")
ROOT = Path(__file__).resolve().parents[1]
SEARCH = ("search", "--model", "shapes", "--evaluations", "44", "--quiet")
PROMPT = "a large solid red circle at the top on a white background"


def main() -> None:
    """Print the table, or run one of the traces for the tree that comes first on the path."""
    parser = argparse.ArgumentParser(description="Figures of the house itself.")
    parser.add_argument("--base", help="a git revision to set beside the working tree")
    parser.add_argument("--no-traces", action="store_true", help="count what needs no run alone")
    parser.add_argument("--trace", choices=("candidate", "schedule"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.trace is not None:
        home = Path(sys.path[0] if Path(sys.path[0], "ecad_automl").is_dir() else os.environ["PYTHONPATH"])
        print(json.dumps(trace_candidate(home) if asked.trace == "candidate" else trace_schedule(home)))
        return
    columns = {"working tree": figures(ROOT, traces=not asked.no_traces)}
    if asked.base is not None:
        with checked_out(asked.base) as tree:
            columns = {asked.base: figures(tree, traces=not asked.no_traces), **columns}
    print(table(columns))


def table(columns: Mapping[str, Mapping[str, object]]) -> str:
    """A row for each figure, a column for each tree, in Markdown."""
    rows = [["", *columns], ["---"] * (len(columns) + 1)]
    rows += [[name, *(str(figure[name]) for figure in columns.values())] for name in next(iter(columns.values()))]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


@contextmanager
def checked_out(revision: str) -> Iterator[Path]:
    """A folder with the files of a revision."""
    command = ["git", "archive", revision]
    archive = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout  # noqa: S603
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=BytesIO(archive)) as files:
            files.extractall(folder, filter="data")
        yield Path(folder)


def figures(tree: Path, *, traces: bool) -> dict[str, object]:
    """All figures of a tree, by their names."""
    files = sorted(path for package in PACKAGES for path in (tree / package).rglob("*.py"))
    lines = [len(path.read_text(encoding="utf-8").splitlines()) for path in files]
    modules = {module_name(path.relative_to(tree)): ast.parse(path.read_text(encoding="utf-8")) for path in files}
    groups = circles(imports(modules))
    found: dict[str, object] = {
        "lines": f"{sum(lines):,}",
        "files": len(files),
        "lines of the longest file": max(lines),
        "public names": sum(public_names(tree) for name, tree in modules.items() if not is_private(name)),
        "private modules": sum(is_private(name) for name in modules),
        "circles (modules in them)": f"{len(groups)} ({sum(map(len, groups))})",
    }
    if traces:
        candidate, schedule = traced(tree, "candidate"), traced(tree, "schedule")
        found |= {
            "files from genome to row": len(candidate["files"]),
            "encodes, decodes of a candidate": f"{candidate['encodes']}, {candidate['decodes']}",
            "files from bits to a skipped product": len(schedule["files"]),
        }
        for name, what in (("candidate", candidate), ("schedule", schedule)):
            print(f"{tree.name}, {name}: {', '.join(what['files'])}", file=sys.stderr)
    return found


def module_name(path: Path) -> str:
    """The dotted name of a file; that of a package is its folder's."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_private(module: str) -> bool:
    """Whether a module, or a package above it, begins with an underscore."""
    return any(part.startswith("_") and not part.startswith("__") for part in module.split("."))


def public_names(tree: ast.Module) -> int:
    """How many names ``__all__`` lists."""
    lists = [
        node.value for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    ]
    return sum(len(found.elts) for found in lists if isinstance(found, ast.List | ast.Tuple))


def imports(modules: Mapping[str, ast.Module]) -> dict[str, set[str]]:
    """For each module those of ours that it imports."""
    found: dict[str, set[str]] = {}
    for name, tree in modules.items():
        wanted: set[str] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                wanted |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module is not None:
                inner = {f"{node.module}.{alias.name}" for alias in node.names}
                wanted |= inner & modules.keys() or {node.module}
        found[name] = (wanted & modules.keys()) - {name}
    return found


def circles(arrows: Mapping[str, set[str]]) -> list[set[str]]:
    """Groups of more than one module each of which reaches all others of its group."""
    reached: dict[str, set[str]] = {}
    for name in arrows:
        seen: set[str] = set()
        waiting = [name]
        while waiting:
            new = arrows[waiting.pop()] - seen
            seen |= new
            waiting += new
        reached[name] = seen
    groups = {
        frozenset(other for other in reached[name] if name in reached[other])
        for name in arrows
        if name in reached[name]
    }
    return [set(group) for group in groups]


def traced(tree: Path, what: str) -> dict[str, Any]:
    """What a trace says, run in a process that imports the packages of a tree."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--trace", what]
    done = subprocess.run(  # noqa: S603 - this file
        command, env=environment, cwd=tree, check=True, capture_output=True, text=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@contextmanager
def watched(home: Path, see: Callable[[FrameType, str, Any], None]) -> Iterator[None]:
    """In the block every call and return of a function of our packages is shown, in all threads that it starts."""
    ours = tuple(str(home / package) + os.sep for package in PACKAGES)

    def profile(frame: FrameType, event: str, value: Any) -> None:
        code = frame.f_code
        if event in ("call", "return") and code.co_filename.startswith(ours) and code.co_name != "<module>":
            see(frame, event, value)

    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]


def trace_schedule(home: Path) -> dict[str, Any]:
    """The files that run from a schedule's bits to products that are skipped."""
    import numpy as np

    from ecad_automl import Schedule, apply_schedule, load_model
    from ecad_automl.models import model_layout

    model = load_model("shapes")
    layout, arguments = model_layout(model), model.settings.call_arguments()
    every_second = np.arange(model.settings.steps)[:, None] % 2 == 0
    schedule = Schedule(layout, np.repeat(every_second, len(layout), axis=1))
    files: set[str] = set()
    see = watched(home, lambda frame, _event, _value: files.add(frame.f_code.co_filename))
    with see, apply_schedule(model.pipe, schedule):
        for _ in range(2):
            model.pipe(PROMPT, **arguments)
    return {"files": named(files, home)}


def trace_candidate(home: Path) -> dict[str, Any]:
    """The files that a bred candidate passes, and how often its bits become text and text its bits."""
    import numpy as np

    from ecad_automl import Schedule

    with tempfile.TemporaryDirectory() as folder:
        genome = last_bred(Path(folder) / "first.db")
        text = genome.rpartition(":")[2]  # before it stands another number of steps than the study's
        bits = 4 * len(text)
        files: set[str] = set()
        counts = {"to_genome": 0, "from_genome": 0}

        def is_it(value: Any, depth: int = 2) -> bool:
            if isinstance(value, str):
                return value in (genome, text)
            if isinstance(value, Schedule):
                try:
                    return value.to_genome() == text
                except AttributeError:  # it is being made
                    return False
            if isinstance(value, np.ndarray):
                size_fits = value.dtype == np.bool_ and bits - 8 < value.size <= bits
                return bool(size_fits) and np.packbits(value.ravel()).tobytes().hex() == text
            if depth == 0:
                return False
            if dataclasses.is_dataclass(value) or isinstance(value, dict):
                value = list((value if isinstance(value, dict) else vars(value)).values())
            return isinstance(value, list | tuple) and any(is_it(item, depth - 1) for item in value)

        def see(frame: FrameType, event: str, value: Any) -> None:
            code = frame.f_code
            given = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
            arguments = [frame.f_locals.get(name) for name in given if name != "self" or "schedule" in code.co_filename]
            if is_it(value) if event == "return" else any(map(is_it, arguments)):
                files.add(code.co_filename)
                if event == "return" and code.co_name in counts:
                    counts[code.co_name] += 1

        with watched(home, see):
            last_bred(Path(folder) / "second.db")
    return {"files": named(files, home), "encodes": counts["to_genome"], "decodes": counts["from_genome"]}


def last_bred(database: Path) -> str:
    """Run the search, and give the genome of the last candidate that it bred."""
    import sqlite3

    from ecad_automl.cli.app import app

    prompts = database.with_name("prompts.txt")
    prompts.write_text(f"{PROMPT}\n", encoding="utf-8")
    app([*SEARCH, "--storage", f"sqlite:///{database}", "--prompts", str(prompts)], standalone_mode=False)
    with closing(sqlite3.connect(database)) as rows:
        found: str = rows.execute(
            "SELECT genome FROM ecad_evaluations WHERE origin = 'bred' ORDER BY trial DESC LIMIT 1"
        ).fetchone()[0]
    return found


def named(files: set[str], home: Path) -> list[str]:
    """Paths in the tree, sorted."""
    return sorted(str(Path(file).relative_to(home)) for file in files)


if __name__ == "__main__":
    main()
