"""Schedules of whole steps as other engines take them."""

from ecad_automl.engines.exports import ENGINES, EngineExport, export_for, reuse_note

__all__ = ["ENGINES", "EngineExport", "export_for", "reuse_note"]
