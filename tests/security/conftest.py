"""One real study, made once, of which every test gets a copy."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests import commands


@pytest.fixture(scope="session")
def searched(tiny_folders: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of three generations on the tiny pipeline."""
    folder = tmp_path_factory.mktemp("searched")
    assert not commands.run(*commands.search_arguments(folder, tiny_folders("pixart"), 20), "--quiet")
    return folder / "study.db"


@pytest.fixture
def database(searched: Path, tmp_path: Path) -> Path:
    """A copy of the study."""
    return Path(shutil.copy(searched, tmp_path / "study.db"))


@pytest.fixture
def run_cli(run_cli: Callable[..., tuple[int, str, str]]) -> Callable[..., tuple[int, str, str]]:
    """As everywhere, in a terminal so wide that messages stand in one line."""
    return partial(run_cli, columns=300)


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
