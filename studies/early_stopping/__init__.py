"""Stopping the evaluation of a candidate after the images that tell most, where the others would be better spent."""

from __future__ import annotations

from studies.early_stopping._ordered import OrderedRace, kept_scores
from studies.early_stopping._race import Race

__all__ = ["OrderedRace", "Race", "kept_scores"]
