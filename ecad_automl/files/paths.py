"""Paths below a home folder."""

from __future__ import annotations

from pathlib import Path


def expand_home(path: str | Path) -> Path:
    """A path whose leading ``~`` or ``~user`` is that folder; where nobody has that name, the path as it is."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)
