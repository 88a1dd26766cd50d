"""``__all__`` of every package and module says what others may use: all of it is there, and they use nothing else."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("ecad_automl", "surrogate", "studies", "storage")
USERS = (*PACKAGES, "benchmarks", "scripts", "training")

#: Commands that only read start with these.
WITHOUT_TORCH = tuple(f"ecad_automl.{name}" for name in ("files", "hub", "prompts", "schedules", "views"))


def modules(*folders: str) -> dict[str, Path]:
    """Files by the names of their modules; a package is its ``__init__``."""
    found = {}
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


OURS = modules(*PACKAGES)


def declared(path: Path) -> set[str] | None:
    """The names in ``__all__``, or None where there is none."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return None


def imports(path: Path) -> Iterator[tuple[str, str, int]]:
    """Module, name and line of everything that is imported from our packages by name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module in OURS:
            yield from ((node.module, alias.name, node.lineno) for alias in node.names)


def test_every_name_that_is_public_exists() -> None:
    missing = []
    for name, path in OURS.items():
        module = importlib.import_module(name) if not name.endswith("__main__") else None
        missing += [f"{name}.{public}" for public in declared(path) or () if not hasattr(module, public)]
    assert not missing


def test_every_module_with_something_for_others_says_what_it_is() -> None:
    silent = [name for name, path in OURS.items() if declared(path) is None and has_definitions(path)]
    assert not silent


def has_definitions(path: Path) -> bool:
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return any(isinstance(node, ast.FunctionDef | ast.ClassDef) for node in body) and path.stem != "__main__"


def test_nothing_is_imported_that_its_module_does_not_offer() -> None:
    """Modules of one package may take more of each other."""
    taken = []
    for user, path in modules(*USERS).items():
        for module, name, line in imports(path):
            package = module if OURS[module].stem == "__init__" else module.rpartition(".")[0]
            inside = user == package or user.startswith(f"{package}.")
            if not inside and f"{module}.{name}" not in OURS and name not in (declared(OURS[module]) or ()):
                taken.append(f"{user}:{line} takes {name} from {module}")
    assert not taken


def test_what_begins_with_an_underscore_is_imported_in_its_own_package_alone() -> None:
    taken = []
    for user, path in modules("benchmarks", "scripts", "training").items():
        for module, name, line in imports(path):
            if any(part.startswith("_") for part in (*module.split("."), name)):
                taken.append(f"{user}:{line} takes {name} from {module}")
    assert not taken


@pytest.mark.parametrize("package", WITHOUT_TORCH)
def test_what_needs_no_torch_imports_none(package: str) -> None:
    names = [name for name in OURS if name == package or name.startswith(f"{package}.")]
    code = f"import sys, {', '.join(names)}\nprint(sorted({{'torch', 'diffusers', 'transformers'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
