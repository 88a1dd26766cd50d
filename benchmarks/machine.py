"""What a figure was measured on, and where it is kept, for the scripts below this folder."""

from __future__ import annotations

from pathlib import Path

from ecad_automl.judging.machine import machine

__all__ = ["RESULTS", "machine"]

RESULTS = Path(__file__).parent / "results"
