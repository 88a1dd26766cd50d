"""A new user's path, timed: from an empty folder over the commands of README to a pipeline that runs under a schedule.

Clones the repository, installs it into a virtual environment, runs the blocks of README up to the one that searches
the bundled model, with the Python that applies a schedule of ``quick``, and then the lines that ``ecad-automl export``
prints. At the end the promise of the exported schedule is checked: multiply-accumulates are counted by PyTorch in a run
with it and in one without, and both are timed.

Packages are downloaded first, into a cache of their own, since that depends on the network; installing then takes them
from there. What serves pages until it is stopped is not run.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.machine import RESULTS, machine

REPOSITORY = RESULTS.parents[1]

#: How README's block begins that searches the bundled model.
_SEARCHES = "ecad-automl search --model shapes"
_INSTALLS = "pip install"
#: Commands that go on until they are stopped.
_SERVES = ("ecad-automl dashboard",)
#: Which way to an applied schedule a command is on; those that tell more of what was found are on none.
_WAYS = {"ecad-automl quick": ("quick",), "ecad-automl search": ("search",), "ecad-automl export": ("search",)}
_BOTH = ("quick", "search")
#: The step in which a schedule of ``quick`` is applied.
_APPLIED = "README's Python, which loads the model and applies a schedule"
#: How the lines of README begin that apply a schedule.
_APPLIES = "from ecad_automl import apply_schedule"
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SNIPPET = re.compile(r"^from ecad_automl import apply_schedule.*", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"apply_schedule\(pipe, (\"[^\"]+\")\)")
_ROUNDS = 7

#: After the lines that were printed, which define a pipeline.
_AFTER = f"""
import json
import statistics
import time
from pathlib import Path

from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ecad_automl import load_schedule

promised = load_schedule(SCHEDULE).schedule.mac_speedup
arguments = load_model("shapes").settings.call_arguments()


def call():
    pipe("a small solid blue square on a white background", **arguments)


def macs():
    # PyTorch does not count the fused attention of the CPU.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        call()
    return sum(counter.get_flop_counts()[type(pipe.transformer).__name__].values()) // 2


def seconds():
    wall, processor = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - processor


full = macs()
call()
with apply_schedule(pipe, SCHEDULE):
    cached = macs()
    call()
ratios = []
for _ in range({_ROUNDS}):
    uncached = seconds()
    with apply_schedule(pipe, SCHEDULE):
        call()
        ratios.append([before / after for before, after in zip(uncached, seconds())])
wall, processor = zip(*ratios)


def told(values):
    return {{"median": round(statistics.median(values), 2), "all": [round(value, 2) for value in values]}}


Path("found.json").write_text(
    json.dumps(
        {{
            "schedule": SCHEDULE,
            "MAC speedup promised": round(promised, 4),
            "MAC speedup counted": round(full / cached, 4),
            "times as fast": told(wall),
            "times less processor time": told(processor),
        }}
    )
)
"""


@dataclass(frozen=True)
class Step:
    """A step of the path.

    Args:
        name: the command, or what it is.
        seconds: of wall time.
        processor_seconds: of itself and all that it started.
        ways: to an applied schedule that need it, "quick" and "search"; that of the environment is told apart.
    """

    name: str
    seconds: float
    processor_seconds: float
    ways: tuple[str, ...] = ()


def commands(readme: str) -> list[str]:
    """The lines of README's first blocks, from the one that installs to the one that searches the bundled model.

    Raises:
        ValueError: there are none.
    """
    lines: list[str] = []
    for language, block in _BLOCK.findall(readme):
        if not language and (lines or _INSTALLS in block):
            joined = block.replace("\\\n", " ")
            lines += [" ".join(line.split()) for line in joined.splitlines() if line.strip()]
            if _SEARCHES in block:
                return lines
    raise ValueError(f"README has no block with {_SEARCHES!r} after one with {_INSTALLS!r}.")


def quick_application(readme: str) -> str:
    """README's Python that applies a schedule of ``quick``.

    Raises:
        ValueError: there is none.
    """
    for language, block in _BLOCK.findall(readme):
        if language == "python" and block.startswith(_APPLIES) and "quick/" in block:
            return str(block)
    raise ValueError("README has no Python that applies a schedule of quick.")


def application(printed: str) -> str:
    """A script of the lines that an export printed, and of what is checked then.

    Raises:
        ValueError: it printed none.
    """
    lines = _SNIPPET.search(printed)
    file = None if lines is None else _FILE.search(lines[0])
    if lines is None or file is None:
        raise ValueError("The export printed no lines that apply its schedule.")
    return f"{lines[0]}\n\nSCHEDULE = {file[1]}\n{_AFTER}"


def main(
    repository: Annotated[str, typer.Argument(help="What to clone: a folder or an address.")] = str(REPOSITORY),
    folder: Annotated[Path | None, typer.Option(help="Where; a temporary one by default. Must be empty.")] = None,
    torch: Annotated[str | None, typer.Option(help="As TORCH of the Makefile, whose own it is by default.")] = None,
    environment: Annotated[
        Path | None, typer.Option(help="A virtual environment with all packages: none is made, and nothing installed.")
    ] = None,
    results: Annotated[Path, typer.Option(help="Folder for the figures.")] = RESULTS,
) -> None:
    """Walk the path, check where it ends, and write down how long each step took."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise SystemExit(f"{folder} is not empty; choose another --folder.")
        found = _walk(repository, folder.absolute(), torch, environment)
    else:
        with tempfile.TemporaryDirectory() as temporary:
            found = _walk(repository, Path(temporary), torch, environment)
    (results / "new_user.json").write_text(json.dumps(found, indent=1) + "\n")
    (results / "new_user.md").write_text(table(found))
    typer.echo(table(found))


def _walk(repository: str, folder: Path, torch: str | None, environment: Path | None) -> dict[str, Any]:
    clone = folder / "ecad-automl"
    env = _environment(folder, clone, environment)
    load = round(os.getloadavg()[0], 1)
    steps = [_run("git clone", ["git", "clone", "--quiet", repository, str(clone)], folder, env, _BOTH)]
    revision = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],  # noqa: S607 - the user's git
        cwd=clone,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    readme = (clone / "README.md").read_text()
    lines = commands(readme)
    if environment is None:
        steps += _installed(folder, clone, torch or _makefile_torch(clone), lines, env)
    printed = clone / "printed.txt"
    (clone / "quick.py").write_text(quick_application(readme))
    for line in lines:
        if line.startswith((_INSTALLS, *_SERVES)):
            continue
        ways = _WAYS.get(" ".join(line.split()[:2]), ())
        steps.append(_run(line, shlex.split(line), clone, env, ways, printed=printed))
        if ways == ("quick",):
            # As it is with a schedule of a search, whose own lines are run with the check.
            steps.append(_run(_APPLIED, ["python", "quick.py"], clone, env, _BOTH))
    (clone / "apply.py").write_text(application(printed.read_text()))
    steps.append(_run("the lines that export printed, with the check", ["python", "apply.py"], clone, env))
    return {
        "machine": machine(),
        "revision": revision,
        "steps": [{**vars(step), "ways": list(step.ways)} for step in steps],
        "seconds to an applied schedule": totals(steps),
        "result": json.loads((clone / "found.json").read_text()),
        "load average": [load, round(os.getloadavg()[0], 1)],
    }


def totals(steps: Sequence[Step]) -> dict[str, dict[str, float]]:
    """By way to an applied schedule the seconds that its steps took."""
    return {
        way: {
            "of wall time": round(sum(step.seconds for step in steps if way in step.ways), 1),
            "of processor time": round(sum(step.processor_seconds for step in steps if way in step.ways), 1),
        }
        for way in _BOTH
    }


def _installed(folder: Path, clone: Path, torch: str, lines: Sequence[str], env: Mapping[str, str]) -> list[Step]:
    """Make the environment; the cheaper build of torch for this machine first, as the Makefile has it."""
    made = _run("virtual environment", [sys.executable, "-m", "venv", ".venv"], clone, env)
    installs = [
        ["pip", "install", "--quiet", torch],
        *(shlex.split(line) for line in lines if line.startswith(_INSTALLS)),
    ]
    downloads = [["pip", "download", "--quiet", "--dest", str(folder / "wheels"), *_requirements(installs)]]
    steps = [made, _several("download of packages", downloads, clone, env)]
    shutil.rmtree(folder / "wheels")
    return [*steps, _several("installation", installs, clone, env)]


def _environment(folder: Path, clone: Path, made: Path | None) -> Mapping[str, str]:
    """That of the caller, with the virtual environment first, and a cache of packages that is empty."""
    clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV", "PYTHONHOME")}
    scripts = (made or clone / ".venv").absolute() / "bin"
    code = {} if made is None else {"PYTHONPATH": str(clone)}
    return {**clean, **code, "PATH": f"{scripts}:{clean['PATH']}", "PIP_CACHE_DIR": str(folder / "cache")}


def _makefile_torch(clone: Path) -> str:
    found = re.search(r"^TORCH \?= (\S+)$", (clone / "Makefile").read_text(), re.MULTILINE)
    return "torch" if found is None else found[1]


def _requirements(installs: Sequence[Sequence[str]]) -> list[str]:
    """What ``pip install`` was given, but for its options."""
    return [argument for install in installs for argument in install[2:] if not argument.startswith("-")]


def _several(name: str, calls: Sequence[Sequence[str]], folder: Path, env: Mapping[str, str]) -> Step:
    steps = [_run(name, call, folder, env) for call in calls]
    return Step(
        name, round(sum(step.seconds for step in steps), 1), round(sum(step.processor_seconds for step in steps), 1)
    )


def _run(
    name: str,
    call: Sequence[str],
    folder: Path,
    env: Mapping[str, str],
    ways: tuple[str, ...] = (),
    *,
    printed: Path | None = None,
) -> Step:
    """Run a command to its end; what it writes is shown.

    Args:
        name: see :class:`Step`.
        call: the command.
        folder: to run it in.
        env: its environment.
        ways: see :class:`Step`.
        printed: what it writes to its standard output is added to this file.

    Raises:
        SystemExit: it failed.
    """
    typer.echo(f"> {shlex.join(call)}", err=True)
    before = os.times()
    # Looked up here, since the search for a program goes by the path of this process.
    program = shutil.which(call[0], path=env["PATH"]) or call[0]
    with subprocess.Popen(
        [program, *call[1:]], cwd=folder, env=dict(env), stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        lines = []
        for line in running.stdout:
            sys.stderr.write(line)
            lines.append(line)
    code = running.returncode
    if printed is not None:
        with printed.open("a") as file:
            file.writelines(lines)
    after = os.times()
    if code:
        raise SystemExit(f"{shlex.join(call)} failed with exit code {code}.")
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return Step(name, round(after.elapsed - before.elapsed, 1), round(used, 1), ways)


def table(found: Mapping[str, Any]) -> str:
    """The figures as Markdown."""
    result, about = found["result"], found["machine"]
    rows = [
        f"| {_shown(step['name'])} | {step['seconds']:.1f} | {step['processor_seconds']:.1f} |"
        for step in found["steps"]
    ]
    wall, processor = result["times as fast"], result["times less processor time"]
    before, after = found["load average"]
    about_it = (
        f"{about['processor']}, {about['cores']} cores, Python {about['python']}; revision {found['revision']}; load "
        f"average {before} before and {after} after. By `python -m benchmarks.system.new_user`."
    )
    ways = found["seconds to an applied schedule"]
    in_all = " ".join(
        f"To an applied schedule by `{way}`, the environment apart: {total['of wall time']:.0f} s, "
        f"{total['of processor time']:.0f} s of processor time."
        for way, total in ways.items()
    )
    checked = (
        f"`{result['schedule']}` promises {result['MAC speedup promised']:.2f}x fewer MACs; "
        f"{result['MAC speedup counted']:.2f}x were counted, since what depends on the text alone is "
        f"computed once a run. Whole calls of the pipeline, one image each, were "
        f"{wall['median']:.2f} times as fast ({min(wall['all']):.2f} to {max(wall['all']):.2f}, {len(wall['all'])} "
        f"rounds) and took {processor['median']:.2f} times less processor time ({min(processor['all']):.2f} to "
        f"{max(processor['all']):.2f})."
    )
    head = ["# From a fresh clone to an applied schedule", "", about_it, ""]
    return "\n".join(
        [*head, "| step | seconds | of processor time |", "|---|---|---|", *rows, "", in_all, "", checked, ""]
    )


def _shown(name: str) -> str:
    return f"`{name}`" if name.startswith("ecad-automl") else name


if __name__ == "__main__":
    typer.run(main)
