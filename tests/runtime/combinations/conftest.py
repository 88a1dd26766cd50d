from __future__ import annotations

import logging

import pytest


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Diffusers logs that some of this is experimental."""
    for name in ("diffusers", "peft"):
        caplog.set_level(logging.CRITICAL, logger=name)
