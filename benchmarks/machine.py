"""What a figure was measured on, for the scripts beside this file."""

from __future__ import annotations

from ecad_automl.judging.machine import machine

__all__ = ["machine"]
