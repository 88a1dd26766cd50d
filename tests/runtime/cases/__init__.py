"""Small real pipelines of every family with random weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from tests.runtime.cases.base import Case
from tests.runtime.cases.core import CORE_CASES
from tests.runtime.cases.generic import GENERIC_CASES
from tests.runtime.cases.joint import JOINT_CASES
from tests.runtime.cases.other import OTHER_CASES
from tests.runtime.cases.video import VIDEO_CASES

__all__ = ["ALL_CASES", "CASES", "GENERIC_CASES", "Case"]


def _named(cases: Mapping[str, Callable[[], Case]]) -> dict[str, Callable[[], Case]]:
    return {name: partial(_made, name, make) for name, make in cases.items()}


def _made(name: str, make: Callable[[], Case]) -> Case:
    case = make()
    case.name = name
    return case


CASES = _named({**CORE_CASES, **JOINT_CASES, **OTHER_CASES, **VIDEO_CASES})

#: Those of families, and those of transformers without an adapter.
ALL_CASES = {**CASES, **_named(GENERIC_CASES)}
