"""Surrogate-assisted search for caching schedules that make diffusion transformers fast."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ecad_automl.errors import EcadError
from ecad_automl.schedules.layout import Layout, Slot
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.schedules.schedule_file import load_schedule, save_schedule
from ecad_automl.views.notebook import show_in_ipython

if TYPE_CHECKING:
    from ecad_automl.api import Front, quick, search
    from ecad_automl.execution import Execution
    from ecad_automl.models import load_model
    from ecad_automl.runtime import apply_schedule

__all__ = [
    "EcadError",
    "Execution",
    "Front",
    "Layout",
    "Schedule",
    "Slot",
    "apply_schedule",
    "load_model",
    "load_schedule",
    "quick",
    "save_schedule",
    "search",
]

_HOMES = {
    "Execution": "ecad_automl.execution",
    "Front": "ecad_automl.api",
    "apply_schedule": "ecad_automl.runtime",
    "load_model": "ecad_automl.models",
    "quick": "ecad_automl.api",
    "search": "ecad_automl.api",
}


def __getattr__(name: str) -> Any:
    # Loaded on first use: these bring torch and diffusers along.
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


show_in_ipython()
