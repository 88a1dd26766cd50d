"""Starting a study from what is known: other studies, or files of schedules, as seeds and as prior of the surrogate."""

from __future__ import annotations

from studies.warm_start._sources import Source, read_source
from studies.warm_start._start import WarmStart, has_started, is_started

__all__ = ["Source", "WarmStart", "has_started", "is_started", "read_source"]
