"""Files of a user that have the names of our packages."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

import storage
from ecad_automl.api.shadowing import refuse_shadowed_packages
from ecad_automl.errors import EcadError

FROM_PYTHON = """
import ecad_automl, sys
try:
    ecad_automl.search
except ecad_automl.EcadError as error:
    sys.stderr.write(f"Error: {error}\\n")
    sys.exit(2)
"""
WAYS = {"the command line": ("-m", "ecad_automl.cli", "front", "--storage", "s.db"), "Python": ("-c", FROM_PYTHON)}


ROOT = Path(storage.__file__).parents[1]


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=120,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["storage.py", "studies.py", "surrogate/__init__.py"])
def test_it_is_said_which_file_has_the_name_of_which_package(way: str, name: str, tmp_path: Path) -> None:
    theirs = tmp_path / name
    theirs.parent.mkdir(exist_ok=True)
    theirs.write_text("mine = True\n")
    done = run(tmp_path, *WAYS[way])
    package = ROOT / name.removesuffix("/__init__.py").removesuffix(".py")
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
    installed = {"PYTHONPATH": str(ROOT)}  # found as in site-packages, and not as what is installed to be edited
    assert run(tmp_path, *WAYS["Python"], **installed).returncode == 0
    assert "There is no study database" in run(tmp_path, *WAYS["the command line"], **installed).stderr


def test_a_folder_that_goes_before_a_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "storage").mkdir()
    found = ModuleSpec("storage", None, is_package=True)
    found.submodule_search_locations = [str(tmp_path / "storage")]
    monkeypatch.setattr("ecad_automl.api.shadowing.find_spec", {"storage": found}.get)
    with pytest.raises(EcadError, match="has the name of a package of ecad-automl") as error:
        refuse_shadowed_packages()
    assert str(tmp_path / "storage") in str(error.value)
