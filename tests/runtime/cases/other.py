"""Other transformers that make images."""

from __future__ import annotations

from collections.abc import Callable

from tests.runtime.cases.base import Case

__all__ = ["OTHER_CASES"]

OTHER_CASES: dict[str, Callable[[], Case]] = {}
