"""Running the command line as a user does: in a process of its own, or quickly within this one."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

PROMPTS = ["a large solid red circle at the left", "a small hollow blue square", "a striped cross"]


@pytest.fixture
def search_arguments(tiny_pixart_folder: Path) -> Callable[[Path, int], list[str]]:
    """A search on the tiny pipeline that takes seconds, in a folder and with a budget."""
    return lambda folder, evaluations: _search_arguments(folder, tiny_pixart_folder, evaluations)


def _search_arguments(folder: Path, model: Path, evaluations: int) -> list[str]:
    prompts = folder / "prompts.txt"
    prompts.write_text("\n".join(PROMPTS) + "\n")
    return [
        *("search", "--model", str(model), "--storage", f"sqlite:///{folder}/study.db", "--study", "tiny"),
        *("--prompts", str(prompts), "--reward", "fidelity", "--steps", "4", "--height", "16", "--width", "16"),
        *("--evaluations", str(evaluations), "--offspring", "4", "--device", "cpu"),
    ]


@pytest.fixture
def run_cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """Run a command in this process: exit code, standard output, standard error."""
    from ecad_automl.cli.app import main

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["ecad-automl", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "160")
        with pytest.raises(SystemExit) as caught:
            main()
        code = caught.value.code
        captured = capsys.readouterr()
        return (0 if code is None else int(code)), captured.out, captured.err

    return run


@pytest.fixture
def start_cli() -> Callable[..., subprocess.Popen[str]]:
    """Start a command in a process of its own; ``largest_file`` (bytes) stands for a disk with that much room."""
    return _start


def _start(arguments: Sequence[str], largest_file: int | None = None) -> subprocess.Popen[str]:
    def prepare() -> None:
        # A background job of a shell ignores Ctrl-C, and hands that on to its children.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if largest_file is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, resource.RLIM_INFINITY))

    return subprocess.Popen(
        [sys.executable, "-m", "ecad_automl.cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "160"},
        preexec_fn=prepare,  # noqa: PLW1509 - it starts no thread
    )


@pytest.fixture
def made_database(tmp_path: Path) -> Path:
    """A study of four made-up schedules, confirmed on unseen prompts; no model belongs to it."""
    from tests.cli.made_up_study import IDENTITY, SCHEDULES, save_confirmations, save_study

    path = tmp_path / "made.db"
    save_study(path, IDENTITY, SCHEDULES)
    save_confirmations(path)
    return path


@pytest.fixture
def run_process() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the installed command in a process of its own; what is written is kept, so it is no terminal."""
    return _run_process


def _run_process(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
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
