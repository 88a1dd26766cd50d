"""Completion as shells ask for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ecad_automl.presets import preset_names
from tests.cli.made_up_study import IDENTITY, SCHEDULES, save_study

COMMAND = Path(sys.executable).with_name("ecad-automl")


def completed(folder: Path, line: str, *, trace: list[str] | None = None) -> list[str]:
    """What bash would offer for the last word of a line."""
    words = line.split(" ")
    done = subprocess.run(
        [sys.executable, *(["-X", "importtime"] if trace is not None else []), COMMAND],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        env={
            **os.environ,
            "_ECAD_AUTOML_COMPLETE": "complete_bash",
            "COMP_WORDS": "\n".join(words),
            "COMP_CWORD": str(len(words) - 1),
        },
    )
    if trace is not None:
        trace += done.stderr.splitlines()
    return done.stdout.split()


def with_command() -> dict[str, str]:
    """The environment of shells, with the command on their path."""
    return {**os.environ, "PATH": f"{COMMAND.parent}{os.pathsep}{os.environ['PATH']}"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_study(tmp_path / "made.db", IDENTITY, SCHEDULES)
    (tmp_path / "schedules").mkdir()
    for name in ("one.json", "two.json", "index.json", "notes.txt"):
        (tmp_path / "schedules" / name).write_text("{}")
    return tmp_path


def test_values_are_completed_and_torch_is_not_imported(folder: Path) -> None:
    trace: list[str] = []
    assert completed(folder, "ecad-automl front --storage made.db --study m", trace=trace) == ["made"]
    imported = {line.rsplit("|", 1)[-1].strip() for line in trace}
    assert "storage" in imported
    assert not imported & {"torch", "diffusers", "transformers", "optuna", "lightgbm", "matplotlib"}
    assert completed(folder, "ecad-automl front --storage none.db --study ") == []
    assert completed(folder, "ecad-automl search --preset pix") == [n for n in preset_names() if n.startswith("pix")]
    assert completed(folder, "ecad-automl search --reward 0.8*image-reward+fid") == ["0.8*image-reward+fidelity"]
    assert completed(folder, "ecad-automl describe schedules/") == ["schedules/one.json", "schedules/two.json"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_a_real_bash_completes(folder: Path) -> None:
    script = """
        set -e
        source <(_ECAD_AUTOML_COMPLETE=source_bash ecad-automl)
        complete -p ecad-automl
        COMP_WORDS=(ecad-automl evaluate --metrics lpips,fi) COMP_CWORD=3
        _ecad_automl_completion ecad-automl
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        env=with_command(),
    )
    assert done.stdout.splitlines()[1:] == ["lpips,fidelity", "lpips,fid"]


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_a_real_fish_completes(folder: Path) -> None:
    script = """
        _ECAD_AUTOML_COMPLETE=source_fish ecad-automl | source
        complete --do-complete "ecad-automl front --storage made.db --study m"
        complete --do-complete "ecad-automl evaluate --metrics lpips,fi"
    """
    done = subprocess.run(
        ["fish", "--no-config", "-c", script],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        env={**with_command(), "HOME": str(folder)},
    )
    assert done.stdout.splitlines() == ["made", "lpips,fid", "lpips,fidelity"]


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_a_real_zsh_completes(folder: Path) -> None:
    """In a terminal, since zsh completes nowhere else."""
    pexpect = pytest.importorskip("pexpect", reason="pexpect is not installed")
    (folder / ".zshrc").write_text("PS1='> '; autoload -Uz compinit && compinit -u\n")
    env = {**with_command(), "ZDOTDIR": str(folder), "TERM": "dumb"}
    shell = pexpect.spawn("zsh", cwd=str(folder), env=env, dimensions=(24, 120), encoding="utf-8", timeout=120)
    try:
        shell.sendline("source <(_ECAD_AUTOML_COMPLETE=source_zsh ecad-automl); echo rea''dy")
        shell.expect_exact("\nready")
        shell.send("ecad-automl front --storage made.db --study m\t")
        shell.expect_exact("--study made ")
    finally:
        shell.close(force=True)
