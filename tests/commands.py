"""Commands as a user gives them: within this process, or in one of their own."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from pkgutil import resolve_name

import pytest

from tests.forked import Forked

__all__ = ["PROMPTS", "run", "run_installed", "search_arguments", "small_pool", "start", "start_fresh"]

PROMPTS = ("a large solid red circle at the left", "a small hollow blue square", "a striped cross")


def search_arguments(
    folder: Path, model: Path, evaluations: int, *, storage: str | None = None, study: str = "tiny", size: int = 16
) -> list[str]:
    """A search on a tiny pipeline that takes seconds.

    Args:
        folder: where the files of its prompts and its method and, by default, its database ``study.db`` lie.
        model: folder of the pipeline.
        evaluations: the budget.
        storage: another database.
        study: its name.
        size: height and width of the images in pixels.
    """
    prompts = folder / "prompts.txt"
    prompts.write_text("\n".join(PROMPTS) + "\n")
    return [
        *("search", "--model", str(model), "--storage", storage or f"sqlite:///{folder}/study.db", "--study", study),
        *("--prompts", str(prompts), "--reward", "fidelity", "--steps", "4", "--height", str(size)),
        *("--width", str(size), "--evaluations", str(evaluations), "--offspring", "4", "--device", "cpu"),
        *small_pool(folder),
    ]


def small_pool(folder: Path) -> tuple[str, str]:
    """Options of a search, of a file in the folder, without which breeding takes half of its time."""
    method = folder / "method.toml"
    method.write_text("[method]\npool = 40\n")
    return "--config", str(method)


def run(*arguments: object, columns: int = 160) -> int:
    """Run a command in this process, in a terminal of so many columns; its exit code."""
    from ecad_automl.cli.app import main

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["ecad-automl", *map(str, arguments)])
        patch.setenv("COLUMNS", str(columns))
        with pytest.raises(SystemExit) as ended:
            main()
    return int(ended.value.code or 0)


def start(arguments: Sequence[str], largest_file: int | None = None) -> Forked:
    """Start a command in a process of its own; ``largest_file`` (bytes) stands for a disk with that much room."""
    from ecad_automl.cli import main

    preload()

    def run_it() -> None:
        if largest_file is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, resource.RLIM_INFINITY))
        os.environ.update({"OMP_NUM_THREADS": "1", "COLUMNS": "160"})
        sys.argv = ["ecad-automl", *arguments]
        main()

    return Forked(run_it)


def preload() -> None:
    """Import what commands import, so that forks of this process have it."""
    from ecad_automl.cli.commands import COMMANDS, load_command

    for name in COMMANDS:
        load_command(name)
    for module in ("ecad_automl.cli.app", "ecad_automl.models", "ecad_automl.judging.evaluation", "studies.search"):
        import_module(module)
    # diffusers and transformers import their classes at their first use.
    resolve_name("diffusers:PixArtAlphaPipeline")
    resolve_name("transformers:T5EncoderModel")


def start_fresh(arguments: Sequence[str]) -> subprocess.Popen[str]:
    """Start a command in an interpreter of its own, for libraries that a fork must not share, as Ray."""
    return subprocess.Popen(
        [sys.executable, "-m", "ecad_automl.cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "160"},
        preexec_fn=_hear_ctrl_c,  # noqa: PLW1509 - it starts no thread
    )


def _hear_ctrl_c() -> None:
    # A background job of a shell ignores Ctrl-C, and hands that on to its children.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def run_installed(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the installed command in a process of its own; what is written is kept, so it is no terminal."""
    unset = {"COLUMNS", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "PYTHONWARNINGS"}
    kept = {name: value for name, value in os.environ.items() if name not in unset}
    command = Path(sys.executable).with_name("ecad-automl")
    return subprocess.run(
        [command, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**kept, **environment},
    )
