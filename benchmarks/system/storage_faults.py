"""What a study database keeps under load, kills, a full disk and the loss of power: nothing that was told is lost.

Each part writes its counts, and keeps those of the others. The last two go on where a run before was ended, until there
are as many tries as are asked for:

- **kills**: processes that write evaluations and trials to one file, and three that read it as ``front``, ``report``
  and the dashboard do, any of which is killed at random and begun anew.
- **full disk**: a writer on a small file system in memory of a random size until it is full; then there is room again.
- **power**: the log beside the file, cut at a random byte or overwritten from there on, as a disk may leave it that
  lost its power. What was told when the log was no longer than that must be there.

A write is told, in a file of its own, when the call that makes it has returned.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import typer
from rich.console import Console

from benchmarks.machine import RESULTS, machine
from benchmarks.made_up_study import SMALL, made_up_study, pixart_layout
from ecad_automl.api.stored import read_study
from ecad_automl.errors import StorageError
from ecad_automl.schedules.schedule import Schedule
from storage import EvaluationRecord, Store, check_database, open_served_storage, optuna_storage

_STUDY = "made-up"
_SCORES = 256
_READERS = ("front", "report", "dashboard")
_WRITTEN_AT_MOST = 400
_COUNTED = ("told", "lost", "damaged files", "faults")
#: Tries after which counts are written.
_PIECE = 10


def main(part: str = "all", minutes: float = 10.0, workers: int = 8, times: int = 200, results: Path = RESULTS) -> None:
    """Do one part or all, and keep what came out; the exit code is 1 where something was lost.

    Args:
        part: ``kills``, ``full disk``, ``power`` or ``all``.
        minutes: of the kills.
        workers: processes that write.
        times: how often the disk is filled, and the power lost, together with the times that are kept.
        results: where the counts are kept.
    """
    parts: dict[str, Callable[[Mapping[str, Any]], Iterator[dict[str, Any]]]] = {
        "kills": lambda _: iter([_kills(minutes, workers)]),
        "full disk": lambda before: _more(before, times, _full_disks),
        "power": lambda before: _more(before, times, _power_losses),
    }
    path = results / "storage_faults.json"
    document: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"parts": {}}
    document["machine"] = machine()
    for name in parts if part == "all" else [part]:
        for found in parts[name](document["parts"].get(name, {})):
            document["parts"][name] = found
            Console().print(name, found)
            path.write_text(json.dumps(document, indent=1) + "\n")
            (results / "storage_faults.md").write_text(table(document) + "\n")
    raise typer.Exit(1 if any(_lost(found) for found in document["parts"].values()) else 0)


def _more(before: Mapping[str, Any], times: int, tried: Callable[[range], dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Counts with those of further tries, a few at a time; each try is of its number alone."""
    counts = {name: before.get(name, 0) for name in ("times", *_COUNTED)}
    while counts["times"] < times:
        first = counts["times"]
        numbers = range(first, min(times, first + _PIECE))
        found = tried(numbers)
        counts = {"times": numbers.stop} | {name: counts[name] + found[name] for name in _COUNTED}
        yield {"done": f"{numbers.stop} {found['done']}", **counts}


def _lost(found: Mapping[str, Any]) -> int:
    return sum(int(found[name]) for name in _COUNTED if name != "told")


def table(document: Mapping[str, Any]) -> str:
    """What was done and what was lost, in Markdown."""
    rows = [
        f"| {name} | {found['done']} | {found['told']} | {found['lost']} | {found['damaged files']} "
        f"| {found['faults']} |"
        for name, found in document["parts"].items()
    ]
    heads = "| | what was done | writes that were told | of these lost | damaged files | other faults |"
    return "\n".join([heads, "|---|---|---|---|---|---|", *rows])


def _forked(work: Callable[[], None]) -> int:
    """Start a process of this one's modules that does it; the exit code is 1 where it raises something."""
    pid = os.fork()
    if pid == 0:
        _do_and_end(work)
    return pid


def _do_and_end(work: Callable[[], None]) -> NoReturn:
    code = 1
    try:
        work()
        code = 0
    except BaseException:  # noqa: BLE001 - a process of its own ends here
        traceback.print_exc()
    finally:
        os._exit(code)


class _Told:
    """What was told, a line for each: one system call, so that a kill leaves whole lines."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.path.touch()

    def tell(self, *words: object) -> None:
        with self.path.open("ab", buffering=0) as file:
            file.write((" ".join(map(str, words)) + "\n").encode())

    def lines(self) -> list[list[str]]:
        return [line.split() for line in self.path.read_text().splitlines()]


def _record(seed: tuple[int, ...], trial: int | None = None) -> EvaluationRecord:
    """An evaluation whose scores follow from its genome, so that it can be told from any other."""
    rng = np.random.default_rng(seed)
    layout = pixart_layout(SMALL[0])
    schedule = Schedule(layout, rng.random((SMALL[1], len(layout))) < 0.6)
    reward = -float(rng.random())
    scores = {"reward": np.full(_SCORES, reward, np.float32)}
    return EvaluationRecord(schedule.to_genome(), schedule.gmacs, reward, -reward, 0.1, scores, 0.1, "bred", trial)


def _missing(path: Path, told: Mapping[str, float]) -> int:
    """How many told evaluations are not there, or not as they were told."""
    with Store.open(path, read_only=True) as store:
        kept = {record.genome: record for record in store.evaluations(_STUDY)}
    whole = (
        genome in kept and kept[genome].reward == reward and (kept[genome].scores["reward"] == np.float32(reward)).all()
        for genome, reward in told.items()
    )
    return sum(not each for each in whole)


def _is_damaged(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("pragma integrity_check").fetchall() != [("ok",)]


def _kills(minutes: float, workers: int) -> dict[str, Any]:
    rng, end = random.Random(0), time.monotonic() + 60 * minutes  # noqa: S311 - no secret
    with tempfile.TemporaryDirectory() as folder:
        path, told, read = Path(folder) / "study.db", _Told(Path(folder) / "told"), _Told(Path(folder) / "read")
        made_up_study(path, 8)
        numbers = itertools.count()
        kinds: dict[int, str] = {}

        def begin(kind: str) -> None:
            number = next(numbers)
            if kind == "writer":
                kinds[_forked(lambda: _write_trials(path, number, told))] = kind
            else:
                kinds[_forked(lambda: _read_on(path, kind, read))] = kind

        for kind in (*["writer"] * workers, *_READERS):
            begin(kind)
        killed = faults = 0
        while time.monotonic() < end:
            time.sleep(rng.uniform(0.1, 1.0) * 2)
            pid = rng.choice(list(kinds))
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:  # by itself, which none does that finds no fault
                faults += os.waitstatus_to_exitcode(status) != 0
            else:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                killed += 1
            begin(kinds.pop(pid))
        for pid in kinds:
            os.kill(pid, signal.SIGKILL)
            faults += os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) > 0
        lines = told.lines()
        evaluations = {genome: float(reward) for _, genome, reward, _ in lines}
        with optuna_storage(path) as storage:
            trials = storage.get_all_trials(storage.get_study_id_from_name(_STUDY), deepcopy=False)
        finished = {trial.number: trial.values[0] for trial in trials if trial.state.is_finished()}
        lost = sum(finished.get(int(trial)) != float(reward) for _, _, reward, trial in lines)
        findings = [finding.text for finding in check_database(path).findings if finding.kind == "file"]
        return {
            "done": f"{killed} kills of {workers} writers and {len(_READERS)} readers in {minutes:g} minutes",
            "minutes": minutes,
            "kills": killed,
            "told": 2 * len(lines),
            "reads": len(read.lines()),
            "lost": _missing(path, evaluations) + lost,
            "damaged files": int(_is_damaged(path) or bool(findings)),
            "faults": faults,
        }


def _write_trials(path: Path, number: int, told: _Told) -> None:
    """Evaluations and their trials, as a search writes them, without end."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with Store.open(path) as store, optuna_storage(path) as storage:
        study = optuna.load_study(study_name=_STUDY, storage=storage, sampler=optuna.samplers.RandomSampler(number))
        for count in itertools.count():
            trial = study.ask()
            record = _record((number, count), trial.number)
            store.save_evaluation(_STUDY, record)
            study.tell(trial, [record.reward, record.gmacs])
            told.tell(number, record.genome, record.reward, trial.number)


def _read_on(path: Path, kind: str, read: _Told) -> None:
    """What a reader sees, again and again, each time with other trials."""
    from ecad_automl.views.report import html_page
    from ecad_automl.views.report.data import Report

    seen = 0
    served = open_served_storage(path)
    while True:
        if kind == "dashboard":
            now = len(served.get_all_trials(served.get_study_id_from_name(_STUDY)))
        else:
            found = read_study(path, _STUDY)
            now = len(found.runs)
            text = html_page(Report(found)) if kind == "report" else repr(found.some_front())
            assert text
        assert now >= seen, f"{kind} saw {seen} and then {now}"
        seen = now
        read.tell(kind, now)
        time.sleep(0.2)


def _full_disks(numbers: range) -> dict[str, Any]:
    faults = lost = damaged = writes = 0
    kinds: set[str] = set()
    for number in numbers:
        with tempfile.TemporaryDirectory() as folder:
            disk, told = Path(folder) / "disk", _Told(Path(folder) / "told")
            disk.mkdir()
            size = random.Random(number).randrange(150, 1500) * 1024  # noqa: S311 - no secret
            mounted = _mount(disk, size)
            kinds.add("a file system in memory" if mounted else "a bound on the size of files")
            try:
                pid = _forked(lambda: _fill(disk / "study.db", number, told, None if mounted else size))  # noqa: B023
                faults += os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0
                if mounted:
                    _run("mount", "-o", f"remount,size={size + 2**22}", str(disk))
                evaluations = {genome: float(reward) for genome, reward, _ in told.lines()}
                writes += len(evaluations)
                # There is room again: the same command goes on.
                pid = _forked(lambda: _go_on(disk / "study.db", number))  # noqa: B023
                faults += os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0
                lost += _missing(disk / "study.db", evaluations)
                damaged += _is_damaged(disk / "study.db")
            finally:
                if mounted:
                    _run("umount", str(disk))
    done = f"disks, by {' and '.join(sorted(kinds))}"
    return {"done": done, "told": writes, "lost": lost, "damaged files": damaged, "faults": faults}


def _fill(path: Path, number: int, told: _Told, bound: int | None) -> None:
    """Write until nothing more can be written, which must be told in a sentence."""
    if bound is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (bound, bound))
    try:
        _write(path, number, told)
    except StorageError as error:
        assert str(error).endswith("."), error  # noqa: PT017
        assert "disk" in str(error), error  # noqa: PT017
    else:
        raise AssertionError("The disk was never full.")


def _write(path: Path, number: int, told: _Told, most: int = 100_000) -> None:
    log = Path(f"{path}-wal")
    with Store.open(path) as store:
        store.claim_study(_STUDY, {"seed": number})
        for count in range(most):
            record = _record((number, count))
            store.save_evaluation(_STUDY, record)
            told.tell(record.genome, record.reward, log.stat().st_size if log.exists() else 0)


def _go_on(path: Path, number: int) -> None:
    with Store.open(path) as store:
        store.claim_study(_STUDY, {"seed": number})
        store.save_evaluation(_STUDY, _record((number, 10**6)))


def _mount(disk: Path, size: int) -> bool:
    return _run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)) == 0


def _run(*command: str) -> int:
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode
    except FileNotFoundError:
        return 127


def _power_losses(numbers: range) -> dict[str, Any]:
    lost = damaged = writes = faults = 0
    with tempfile.TemporaryDirectory() as folder:
        at_work, told = Path(folder) / "work" / "study.db", _Told(Path(folder) / "told")
        at_work.parent.mkdir()
        # Killed before it closes, so that the log is there; written less than what makes SQLite move it to the file.
        pid = _forked(lambda: _write_and_die(at_work, told))
        faults += os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != -signal.SIGKILL
        whole = Path(f"{at_work}-wal").read_bytes()
        for number in numbers:
            rng = random.Random(number)  # noqa: S311 - no secret
            path = Path(folder) / "cut" / "study.db"
            shutil.rmtree(path.parent, ignore_errors=True)
            path.parent.mkdir()
            shutil.copy(at_work, path)
            cut = rng.randrange(len(whole) + 1)
            rest = rng.randbytes(len(whole) - cut) if rng.random() < 0.5 else b""
            Path(f"{path}-wal").write_bytes(whole[:cut] + rest)
            # Before the first one was told, the study may not be there.
            safe = {genome: float(reward) for genome, reward, length in told.lines() if int(length) <= cut}
            writes += len(safe)
            damaged += _is_damaged(path)
            lost += _missing(path, safe) if safe else 0
    done = f"cuts of a log of {len(whole) / 2**20:.1f} MiB"
    return {"done": done, "told": writes, "lost": lost, "damaged files": damaged, "faults": faults}


def _write_and_die(path: Path, told: _Told) -> None:
    Store.open(path).close()
    log = Path(f"{path}-wal")
    with Store.open(path) as store:
        store.claim_study(_STUDY, {"seed": 0})
        for count in range(_WRITTEN_AT_MOST):
            record = _record((0, count))
            store.save_evaluation(_STUDY, record)
            told.tell(record.genome, record.reward, log.stat().st_size)
            if log.stat().st_size > 3 * 2**20:
                break
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    typer.run(main)
