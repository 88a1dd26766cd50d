"""Small real pipelines of every family with random weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from tests.runtime.cases.base import Case
from tests.runtime.cases.core import CORE_CASES
from tests.runtime.cases.generic import GENERIC_CASES
from tests.runtime.cases.joint import JOINT_CASES
from tests.runtime.cases.other import OTHER_CASES
from tests.runtime.cases.video import VIDEO_CASES

__all__ = ["ALL_CASES", "CASES", "EACH_FAMILY", "FEW", "GENERIC_CASES", "Case"]


def _sharing(make: Callable[[], Case]) -> Callable[[], Case]:
    """Cases whose layout is counted once, and of one that no test has changed."""
    layout = cache(lambda: make().counted())

    def made() -> Case:
        case = make()
        case.shared = layout
        return case

    return made


CASES = {name: _sharing(make) for name, make in {**CORE_CASES, **JOINT_CASES, **OTHER_CASES, **VIDEO_CASES}.items()}

#: Those of families, and those of transformers without an adapter.
ALL_CASES = {**CASES, **{name: _sharing(make) for name, make in GENERIC_CASES.items()}}

#: One batch of both guidance branches with and without names of them, and a call for each branch.
FEW = ("pixart-guided", "flux-true-cfg", "sd3-guided")

#: Of each way to call a transformer the case with the most guidance branches.
EACH_FAMILY = tuple(
    name
    for name in CASES
    if not name.endswith(("-unguided", "-distilled")) and f"{name}-true-cfg" not in CASES and name != "sigma-guided"
)
