"""Files of a user that have the names of our packages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import storage

FROM_PYTHON = """
import ecad_automl, sys
try:
    ecad_automl.search
except ecad_automl.EcadError as error:
    sys.stderr.write(f"Error: {error}\\n")
    sys.exit(2)
"""
WAYS = {"the command line": ("-m", "ecad_automl.cli", "front", "--storage", "s.db"), "Python": ("-c", FROM_PYTHON)}


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], check=False, capture_output=True, text=True, cwd=folder, timeout=120
    )


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["storage.py", "studies.py", "surrogate/__init__.py"])
def test_it_is_said_which_file_has_the_name_of_which_package(way: str, name: str, tmp_path: Path) -> None:
    theirs = tmp_path / name
    theirs.parent.mkdir(exist_ok=True)
    theirs.write_text("mine = True\n")
    done = run(tmp_path, *WAYS[way])
    package = Path(storage.__file__).parents[1] / name.removesuffix("/__init__.py").removesuffix(".py")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"Error: {theirs} has the name of a package of ecad-automl, {package}, and Python finds it first; rename it, "
        "or run from another folder.\n"
    )


def test_a_module_of_the_user_that_was_imported_before_is_named(tmp_path: Path) -> None:
    (tmp_path / "storage.py").write_text("mine = True\n")
    (tmp_path / "script.py").write_text(f"import storage\nassert storage.mine\n{FROM_PYTHON}")
    done = run(tmp_path, "script.py")
    assert done.returncode == 2
    assert f"{tmp_path / 'storage.py'} has the name of a package" in done.stderr


def test_files_of_other_names_do_not_disturb(tmp_path: Path) -> None:
    (tmp_path / "study.py").write_text("mine = True\n")
    (tmp_path / "storage").mkdir()  # no package
    assert run(tmp_path, *WAYS["Python"]).returncode == 0
    assert "There is no study database" in run(tmp_path, *WAYS["the command line"]).stderr
