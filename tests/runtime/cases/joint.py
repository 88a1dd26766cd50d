"""Transformers that join image and text in one attention."""

from __future__ import annotations

from collections.abc import Callable

from tests.runtime.cases.base import Case

__all__ = ["JOINT_CASES"]

JOINT_CASES: dict[str, Callable[[], Case]] = {}
