"""Running a diffusers pipeline under a caching schedule, and measuring one that runs without."""

from __future__ import annotations

from ecad_automl.runtime.apply import CompileMode, ScheduleHandle, apply_schedule
from ecad_automl.runtime.families import slots_of
from ecad_automl.runtime.inputs import Sample
from ecad_automl.runtime.layouts import layout_from_config, layout_of
from ecad_automl.runtime.measure_drift import measure_drift
from ecad_automl.runtime.prefixes import Prefixes, SharingReport
from ecad_automl.runtime.probe import layout_of_call

__all__ = [
    "CompileMode",
    "Prefixes",
    "Sample",
    "ScheduleHandle",
    "SharingReport",
    "apply_schedule",
    "layout_from_config",
    "layout_of",
    "layout_of_call",
    "measure_drift",
    "slots_of",
]
