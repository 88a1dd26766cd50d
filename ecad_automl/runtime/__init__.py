"""Running a diffusers pipeline under a caching schedule, and measuring one that runs without."""

from __future__ import annotations

from ecad_automl.runtime.apply import CompileMode, ScheduleHandle, apply_schedule
from ecad_automl.runtime.blocks import slots_of
from ecad_automl.runtime.families import Sample
from ecad_automl.runtime.fitted import fit_schedule, uncached_path
from ecad_automl.runtime.layouts import layout_from_config, layout_of, layout_of_call
from ecad_automl.runtime.measure_drift import measure_drift
from ecad_automl.runtime.prefixes import Prefixes, PrefixReport

__all__ = [
    "CompileMode",
    "PrefixReport",
    "Prefixes",
    "Sample",
    "ScheduleHandle",
    "apply_schedule",
    "fit_schedule",
    "layout_from_config",
    "layout_of",
    "layout_of_call",
    "measure_drift",
    "slots_of",
    "uncached_path",
]
