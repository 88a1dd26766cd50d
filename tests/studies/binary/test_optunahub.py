from __future__ import annotations

import importlib.metadata
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
REGISTRY = ROOT / "optunahub" / "package"
NAME = "samplers/packed_binary"
PACKAGE = REGISTRY / NAME


@pytest.fixture
def module() -> Any:
    optunahub = pytest.importorskip("optunahub")
    return optunahub.load_local_module(NAME, registry_root=str(REGISTRY))


def test_optunahub_loads_the_package_from_the_folder(module: Any) -> None:
    from studies.binary import PackedBinarySampler

    assert module.__name__ == "optunahub_registry.package.samplers.packed_binary"
    assert module.PackedBinarySampler is PackedBinarySampler
    assert all(hasattr(module, name) for name in module.__all__)


def test_the_example_of_the_package_runs(
    module: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As it would after publication, when the hub has the folder."""
    monkeypatch.setattr("optunahub.load_module", lambda package: {NAME: module}[package])
    found = runpy.run_path(str(PACKAGE / "example.py"), run_name="__main__")
    assert len(found["study"].trials) == 50
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(found["study"].best_trials)
    assert all(line.startswith("weight ") for line in lines)


def test_the_front_matter_has_what_the_registry_asks_for() -> None:
    _, matter, text = (PACKAGE / "README.md").read_text().split("---\n", 2)
    values = yaml.safe_load(matter)
    assert set(values) == {"author", "title", "description", "tags", "optuna_versions", "license"}
    assert "sampler" in values["tags"]
    assert importlib.metadata.version("optuna") in values["optuna_versions"]
    # The registry takes packages under the MIT license alone.
    assert values["license"] == "MIT License"
    assert (PACKAGE / "LICENSE").read_text().startswith("MIT License")
    for heading in ("Abstract", "Class or Function Names", "Installation", "APIs", "Example"):
        assert f"\n## {heading}\n" in text


def test_names_and_arguments_of_the_readme_are_those_of_the_code(module: Any) -> None:
    import inspect

    text = (PACKAGE / "README.md").read_text()
    assert all(f"- {name}\n" in text for name in module.__all__)
    parameters = list(inspect.signature(module.PackedBinarySampler).parameters.values())
    shown = ", ".join(["bits", "*", *(f"{each.name}={each.default}" for each in parameters[1:])])
    assert f"`PackedBinarySampler({shown})`" in text


def test_without_the_project_the_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch, module: Any) -> None:
    import optunahub

    for name in [name for name in sys.modules if name.split(".")[0] == "studies"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "studies", None)
    with pytest.raises(ModuleNotFoundError, match="part of the package ecad-automl"):
        optunahub.load_local_module(NAME, registry_root=str(REGISTRY))
