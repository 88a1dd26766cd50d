"""Families that make videos."""

from __future__ import annotations

from ecad_automl.runtime.families.spec import Family

__all__ = ["VIDEO_FAMILIES"]

VIDEO_FAMILIES: tuple[Family, ...] = ()
