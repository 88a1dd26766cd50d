"""A study that commands read."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def made_database(tmp_path: Path) -> Path:
    """A study of four made-up schedules, confirmed on unseen prompts; no model belongs to it."""
    from tests.cli.made_up_study import IDENTITY, SCHEDULES, save_confirmations, save_study

    path = tmp_path / "made.db"
    save_study(path, IDENTITY, SCHEDULES)
    save_confirmations(path)
    return path
