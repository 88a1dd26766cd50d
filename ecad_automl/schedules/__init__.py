"""Caching schedules: what they are, what they cost, as files, by rule and by drift. Imports no torch."""

from __future__ import annotations

from ecad_automl.schedules.layout import Layout, Slot
from ecad_automl.schedules.schedule import Schedule

__all__ = ["Layout", "Schedule", "Slot"]
