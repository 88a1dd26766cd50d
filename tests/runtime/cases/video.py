"""Transformers that make videos."""

from __future__ import annotations

from collections.abc import Callable

from tests.runtime.cases.base import Case

__all__ = ["VIDEO_CASES"]

VIDEO_CASES: dict[str, Callable[[], Case]] = {}
