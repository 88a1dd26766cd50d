"""The whole loop from Python: search, look at the front, choose, export. Imports no torch until a search begins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ecad_automl.api.shadowing import refuse_shadowed_packages

if TYPE_CHECKING:
    from ecad_automl.api.config_file import read_search_file, resolved_config
    from ecad_automl.api.quick_front import QuickFront, quick
    from ecad_automl.api.searching import estimate, search
    from ecad_automl.api.settings import SearchFile
    from ecad_automl.api.study_front import Front, FrontPoint

__all__ = [
    "Front",
    "FrontPoint",
    "QuickFront",
    "SearchFile",
    "estimate",
    "quick",
    "read_search_file",
    "resolved_config",
    "search",
]

_HOMES = {
    "Front": "ecad_automl.api.study_front",
    "FrontPoint": "ecad_automl.api.study_front",
    "QuickFront": "ecad_automl.api.quick_front",
    "SearchFile": "ecad_automl.api.settings",
    "estimate": "ecad_automl.api.searching",
    "quick": "ecad_automl.api.quick_front",
    "read_search_file": "ecad_automl.api.config_file",
    "resolved_config": "ecad_automl.api.config_file",
    "search": "ecad_automl.api.searching",
}


# Before anything is imported from a package beside this one.
refuse_shadowed_packages()


def __getattr__(name: str) -> Any:
    # Loaded on first use, so that each brings only what it needs.
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
