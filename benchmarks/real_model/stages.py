"""The parts of an experiment: commands of ``ecad-automl``, each run until it is done and then no more."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from subprocess import PIPE, run
from typing import Any

from rich.console import Console

__all__ = ["COMMAND", "StageError", "Stages"]

COMMAND = [sys.executable, "-m", "ecad_automl.cli"]


class StageError(Exception):
    """A command failed or was stopped; what it had done is kept, and the same call of the script goes on there."""


class Stages:
    """Runs commands one after another.

    Args:
        folder: where it is noted which are done; made where it does not exist.
    """

    def __init__(self, folder: Path) -> None:
        self._notes = folder / "stages"
        self._notes.mkdir(parents=True, exist_ok=True)

    def run(self, name: str, command: Sequence[str]) -> dict[str, Any]:
        """Run a command, unless just this one is done.

        Args:
            name: of the part, for people.
            command: of ``ecad-automl`` and its options; with ``--json`` what it prints is kept.

        Returns:
            What it printed with ``--json``, else nothing.

        Raises:
            StageError: it did not end well.
        """
        note = self._notes / f"{name.replace(' ', '-').replace('/', '-')}.json"
        told = shlex.join(["ecad-automl", *command])
        if note.exists() and (kept := json.loads(note.read_text()))["command"] == told:
            return dict(kept["printed"])
        Console(stderr=True).print(f"\n{name}: {told}", highlight=False, soft_wrap=True)
        wanted = PIPE if "--json" in command else None
        found = run([*COMMAND, *command], stdout=wanted, text=True, check=False)
        if found.returncode:
            raise StageError(
                f"{name} ended with {found.returncode}; mend what it told, then run the same command again."
            )
        printed = json.loads(found.stdout) if found.stdout else {}
        note.write_text(json.dumps({"command": told, "printed": printed}) + "\n")
        return dict(printed)
