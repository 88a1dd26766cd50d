"""What is public: the ``__all__`` of every package, and names without an underscore in modules without one."""

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


def offered(package: str) -> set[str]:
    """Names without an underscore that a package defines, or takes from its own modules and does not itself use."""
    found = set()
    tree = ast.parse(OURS[package].read_text(encoding="utf-8"))
    body, used = tree.body, {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    for node in [*body, *(inner for outer in body if isinstance(outer, ast.If) for inner in outer.body)]:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{package}."):
            found |= {alias.name for alias in node.names} - used
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
    return {name for name in found if not name.startswith("_")}


def imports(path: Path) -> Iterator[tuple[str, str, int]]:
    """Module, name and line of everything that is imported from our packages by name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module in OURS:
            yield from ((node.module, alias.name, node.lineno) for alias in node.names)


@pytest.mark.parametrize("package", [name for name, path in OURS.items() if path.stem == "__init__" and declared(path)])
def test_a_package_offers_what_it_says_and_says_what_it_offers(package: str) -> None:
    module, names = importlib.import_module(package), declared(OURS[package]) or set()
    assert [name for name in names if not hasattr(module, name)] == []
    assert offered(package) - names == set()


def test_packages_alone_declare_what_is_public() -> None:
    assert [name for name, path in OURS.items() if path.stem != "__init__" and declared(path) is not None] == []


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
