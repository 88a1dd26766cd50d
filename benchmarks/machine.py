"""What a figure was measured on, and where it is kept, for the scripts below this folder."""

from __future__ import annotations

import time
from pathlib import Path

from ecad_automl.judging.machine import machine
from ecad_automl.latency.timing import Clock

__all__ = ["PROCESSOR_CLOCK", "RESULTS", "machine"]

#: Processor time, so that other work on the machine does not count: for what runs on one thread of a CPU.
PROCESSOR_CLOCK = Clock(time.process_time, time.process_time, lambda begin, end: float(end - begin), lambda: None)

RESULTS = Path(__file__).parent / "results"
