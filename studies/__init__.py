"""Searching: genes, the Optuna sampler and study, and the search loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from studies.config import LatencySettings, SearchConfig
    from studies.job import SearchJob, run_search
    from studies.progress import SearchObserver, SearchStatus

__all__ = ["LatencySettings", "SearchConfig", "SearchJob", "SearchObserver", "SearchStatus", "run_search"]

_HOMES = {
    "LatencySettings": "studies.config",
    "SearchConfig": "studies.config",
    "SearchJob": "studies.job",
    "SearchObserver": "studies.progress",
    "SearchStatus": "studies.progress",
    "run_search": "studies.job",
}


def __getattr__(name: str) -> Any:
    # Loaded on first use: studies.job brings torch and Optuna along.
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
