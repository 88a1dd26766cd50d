"""Stopping the evaluation of a candidate after the images that tell most, where the others would be better spent."""

from __future__ import annotations

from studies.early_stopping._race import Race
from studies.early_stopping._stopping import EarlyStopping

__all__ = ["EarlyStopping", "Race"]
