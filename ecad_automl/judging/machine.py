"""What a figure was measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from ecad_automl.schedules.schedule_file import software_versions


def machine() -> dict[str, object]:
    """Processor, cores, system and versions."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": software_versions(),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
