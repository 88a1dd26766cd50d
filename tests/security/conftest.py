"""One real study, made once, of which every test gets a copy."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PROMPTS = ["a large solid red circle at the left", "a small hollow blue square", "a striped cross"]


@pytest.fixture(scope="session")
def searched(tiny_folders: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of three generations on the tiny pipeline."""
    from ecad_automl.cli.app import main

    folder = tmp_path_factory.mktemp("searched")
    (folder / "prompts.txt").write_text("\n".join(PROMPTS) + "\n")
    arguments = [
        *("search", "--model", str(tiny_folders("pixart")), "--storage", f"{folder}/study.db", "--study", "tiny"),
        *("--prompts", f"{folder}/prompts.txt", "--reward", "fidelity", "--steps", "4", "--height", "16"),
        *("--width", "16", "--evaluations", "20", "--offspring", "4", "--device", "cpu", "--quiet"),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["ecad-automl", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
    assert not ended.value.code
    return folder / "study.db"


@pytest.fixture
def database(searched: Path, tmp_path: Path) -> Path:
    """A copy of the study."""
    return Path(shutil.copy(searched, tmp_path / "study.db"))


@pytest.fixture
def run_cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """Run a command in this process: exit code, standard output, standard error."""
    from ecad_automl.cli.app import main

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["ecad-automl", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "300")
        with pytest.raises(SystemExit) as caught:
            main()
        captured = capsys.readouterr()
        return int(caught.value.code or 0), captured.out, captured.err

    return run


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mounts a disk of so many KiB, or mounts it again with other options."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(size: int, *, again: bool = False, read_only: bool = False) -> Path:
        options = f"{'remount,' if again else ''}size={size}k,{'ro' if read_only else 'rw'}"
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if shutil.which("mount") is None or subprocess.run(command, check=False, capture_output=True).returncode:
            pytest.skip("mounting a file system is not permitted here")
        return folder

    yield mount
    subprocess.run(["umount", str(folder)], check=False, capture_output=True)
