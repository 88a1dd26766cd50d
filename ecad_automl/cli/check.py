"""``ecad-automl check``: whether a study database is whole, and how it is restored."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from ecad_automl.api.terminal import say
from ecad_automl.cli.exit_codes import FINDINGS
from ecad_automl.cli.options import Json, Storage
from ecad_automl.cli.output import messages, print_json, results, step
from ecad_automl.errors import StorageError
from storage import CheckedFile, backup_path, check_database, is_server, redacted, restore

#: Findings of one kind that are listed; ``--json`` has all.
_LISTED = 20


def check(
    storage: Storage = "sqlite:///ecad.db",
    put_back: Annotated[
        bool,
        typer.Option("--restore", help="First put the backup in the place of the file, which is kept as FILE.damaged."),
    ] = False,
    json_output: Json = False,
) -> None:
    """Check that a study database is whole: the file itself, and that its records, trials and figures agree.

    Each finding is one sentence. The exit code is 0 where nothing is found, 1 where something is, and 2 where the file
    is no study database. A database server checks its own files; its studies are checked as those of a file. Nothing is
    changed, but by --restore.
    """
    if put_back and is_server(storage):
        raise StorageError(
            f"The storage {redacted(storage)} is on a server, of which we keep no backups; restore it with its own "
            "tools."
        )
    if put_back:
        old = restore(storage)
        kept = "" if old is None else f"; what was there before is {old}"
        say(messages(), f"The backup is in place{kept}.", keep=[old or ""])
    with step(messages(), "Checking"):
        found = check_database(storage)
    if json_output:
        print_json(_document(found))
    else:
        _print(found)
    if found.findings:
        raise typer.Exit(FINDINGS)


def _document(found: CheckedFile) -> dict[str, Any]:
    return {
        "schema": "ecad-automl/check/1",
        "storage": found.path,
        "clean": not found.findings,
        "searching": found.searching,
        "studies": [{"study": s.name, "trials": s.trials, "evaluations": s.evaluations} for s in found.studies],
        "findings": [{"kind": f.kind, "study": f.study, "trial": f.trial, "text": f.text} for f in found.findings],
    }


def _print(found: CheckedFile) -> None:
    console = results()
    listed: Counter[str] = Counter()
    for finding in found.findings:
        listed[finding.kind] += 1
        if listed[finding.kind] <= _LISTED:
            say(console, finding.text)
    for kind, count in listed.items():
        if count > _LISTED:
            say(console, f"{count - _LISTED} more findings are of the kind {kind!r}; --json has them all.")
    for study in found.studies:
        say(console, f"Study {study.name!r}: {study.trials} trials, {study.evaluations} evaluations.")
    if not found.findings:
        say(console, "Nothing is wrong.")
        return
    total = len(found.findings)
    say(console, f"{total} finding{'s' * (total > 1)} in {found.path}.", keep=[found.path])
    backup = backup_path(found.path) if isinstance(found.path, Path) else None
    if backup is not None and backup.exists():
        say(console, f"There is a backup, {backup}; --restore puts it in the place of the file.", keep=[backup])
