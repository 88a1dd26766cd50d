"""Whether Python finds the packages beside ``ecad_automl``, or files of the user that have their names."""

from __future__ import annotations

from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

from ecad_automl.errors import EcadError

_PACKAGES = ("storage", "studies", "surrogate")


def refuse_shadowed_packages() -> None:
    """See that our packages are imported from where ``ecad_automl`` lies.

    Raises:
        EcadError: a file or folder of the user has the name of one, and Python finds it first.
    """
    for name in _PACKAGES:
        ours = Path(__file__).parents[2] / name / "__init__.py"
        found = find_spec(name)  # of a module that was imported before, its own
        theirs = None if found is None else found.origin if found.has_location else _folder(found)
        if theirs and ours.is_file() and not ours.samefile(theirs):
            raise EcadError(
                f"{theirs} has the name of a package of ecad-automl, {ours.parent}, and Python finds it first; rename "
                "it, or run from another folder."
            )


def _folder(found: ModuleSpec) -> str | None:
    """Of a folder without ``__init__.py``, which only goes before a package that is installed to be edited."""
    return next(iter(found.submodule_search_locations or ()), None)
