"""Whether Python finds the packages beside ``ecad_automl``, or files of the user that have their names."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

from ecad_automl.errors import EcadError

_PACKAGES = ("storage", "studies", "surrogate")


def refuse_shadowed_packages() -> None:
    """See that our packages are imported from where ``ecad_automl`` lies.

    Raises:
        EcadError: a file of the user has the name of one, and Python finds it first.
    """
    for name in _PACKAGES:
        ours = Path(__file__).parents[2] / name / "__init__.py"
        theirs = _found(name)
        if theirs is not None and ours.is_file() and not theirs.samefile(ours):
            raise EcadError(
                f"{theirs} has the name of a package of ecad-automl, {ours.parent}, and Python finds it first; rename "
                "it, or run from another folder."
            )


def _found(name: str) -> Path | None:
    module = sys.modules.get(name)
    if module is not None:
        origin = getattr(module, "__file__", None)
    else:
        spec = find_spec(name)
        origin = spec.origin if spec is not None and spec.has_location else None
    path = Path(origin) if origin else None
    return path if path is not None and path.exists() else None
