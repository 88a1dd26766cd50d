"""Pipelines to run, and a slow reference for what running under a schedule means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch

from ecad_automl.schedule import Schedule
from tests.runtime.cases import CASES, Case
from tests.runtime.cases.core import CORE_CASES

#: Replays the definition of a schedule on a case while a function runs it.
Reference = Callable[["Case", Schedule, Callable[[], torch.Tensor]], torch.Tensor]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        every = metafunc.definition.get_closest_marker("every_family") is not None
        metafunc.parametrize("case", list(CASES if every else CORE_CASES), indirect=True)


@pytest.fixture
def case(request: pytest.FixtureRequest) -> Case:
    """A pipeline and a way to call it: a few kinds, or all that are supported in tests marked ``every_family``."""
    return CASES[request.param]()


@pytest.fixture
def pixart() -> Case:
    """PixArt-alpha with classifier-free guidance, two images in one transformer batch."""
    return CASES["pixart-guided"]()


@pytest.fixture
def flux() -> Case:
    """FLUX with a negative prompt: two transformer calls a step, in contexts of their own."""
    return CASES["flux-true-cfg"]()


@pytest.fixture
def reference() -> Reference:
    """The definition, replayed: a slot's raw output stays in use until the slot is recomputed."""
    return _reference


def _reference(case: Case, schedule: Schedule, run: Callable[[], torch.Tensor]) -> torch.Tensor:
    transformer = case.pipe.transformer
    count = -1
    cached: dict[tuple[int, int, int], Any] = {}
    visits: Counter[tuple[int, int]] = Counter()

    def count_calls(forward: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: object, **kwargs: object) -> object:
            nonlocal count
            count += 1
            return forward(*args, **kwargs)

        return counted

    def replay(index: int, forward: Callable[..., Any]) -> Callable[..., Any]:
        def replayed(*args: object, **kwargs: object) -> object:
            step, branch = divmod(count, case.calls_per_step)
            visits[count, index] += 1  # some blocks call a component twice
            key = (branch, index, visits[count, index])
            if schedule.compute[step, index] or key not in cached:
                cached[key] = forward(*args, **kwargs)
            return cached[key]

        return replayed

    patched = [transformer.get_submodule(slot.name) for slot in schedule.layout.slots]
    transformer.forward = count_calls(transformer.forward)
    for index, module in enumerate(patched):
        module.forward = replay(index, module.forward)
    try:
        return run()
    finally:
        for module in (transformer, *patched):
            del module.forward
