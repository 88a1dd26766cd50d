"""Surrogate-assisted search for caching schedules that make diffusion transformers fast."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from ecad_automl.errors import EcadError

if TYPE_CHECKING:
    from ecad_automl.api import Front, estimate, quick, search
    from ecad_automl.execution import Execution
    from ecad_automl.models import load_model
    from ecad_automl.runtime import apply_schedule
    from ecad_automl.schedules.layout import Layout, Slot
    from ecad_automl.schedules.schedule import Schedule
    from ecad_automl.schedules.schedule_file import load_schedule, save_schedule

__all__ = [
    "EcadError",
    "Execution",
    "Front",
    "Layout",
    "Schedule",
    "Slot",
    "apply_schedule",
    "estimate",
    "load_model",
    "load_schedule",
    "quick",
    "save_schedule",
    "search",
]

_HOMES = {
    "Execution": "ecad_automl.execution",
    "Front": "ecad_automl.api",
    "Layout": "ecad_automl.schedules.layout",
    "Schedule": "ecad_automl.schedules.schedule",
    "Slot": "ecad_automl.schedules.layout",
    "apply_schedule": "ecad_automl.runtime",
    "estimate": "ecad_automl.api",
    "load_model": "ecad_automl.models",
    "load_schedule": "ecad_automl.schedules.schedule_file",
    "quick": "ecad_automl.api",
    "save_schedule": "ecad_automl.schedules.schedule_file",
    "search": "ecad_automl.api",
}


def __getattr__(name: str) -> Any:
    # Loaded on first use: some bring torch and diffusers along, and help of the command line needs none of them.
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*(name for name in globals() if name.startswith("__")), *__all__})


if "IPython" in sys.modules:
    from ecad_automl.views.notebook import show_in_ipython

    show_in_ipython()
