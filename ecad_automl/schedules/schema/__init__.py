"""The JSON schema of schedule files (draft 2020-12), for other programs; the package reads files without it."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

__all__ = ["schedule_schema"]


def schedule_schema() -> dict[str, Any]:
    """The schema of ``ecad-automl/schedule/1`` and ``/2``.

    It tells what a file may look like. That bits, view, forecasts, layout and hash say the same is beyond a schema, and
    only :func:`~ecad_automl.schedules.schedule_file.load_schedule` checks it.
    """
    text = (files(__name__) / "schedule.json").read_text(encoding="utf-8")
    return dict(json.loads(text))
