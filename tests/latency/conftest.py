"""Clocks that tell what they are told to tell."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ecad_automl.latency.timing import Clock


@pytest.fixture
def ticking() -> Callable[..., Clock]:
    """A clock on which every mark takes a second, and nothing else any time."""

    def make() -> Clock:
        time = 0.0

        def mark() -> float:
            nonlocal time
            time += 1.0
            return time

        return Clock(lambda: time, mark, lambda begin, end: end - begin, lambda: None)

    return make
