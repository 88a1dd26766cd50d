"""Pipelines to run, and a slow reference for what running under a schedule means."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from torch.utils._pytree import tree_map

from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule
from tests.runtime.cases import ALL_CASES, CASES, GENERIC_CASES, Case
from tests.runtime.cases.core import CORE_CASES

#: Replays the definition of a schedule on a case while a function runs it.
Reference = Callable[["Case", Schedule, Callable[[], torch.Tensor]], torch.Tensor]


Layouts = Callable[[str], Layout]

#: Adds to what a test of conformance tells, as why something is refused.
Note = Callable[[str], None]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" not in metafunc.fixturenames:
        return
    quiet = pytest.mark.filterwarnings("ignore::ecad_automl.errors.NoAdapterWarning")
    cases: list[Any] = list(CORE_CASES)
    if metafunc.definition.get_closest_marker("every_family") is not None:
        cases = list(CASES)
    if metafunc.definition.get_closest_marker("conformance") is not None:
        cases = [*CASES, *(pytest.param(name, marks=quiet) for name in GENERIC_CASES)]
    metafunc.parametrize("case", cases, indirect=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tell reports what they are about, for ``python -m scripts.docs.make_families --run``."""
    for item in items:
        marker = item.get_closest_marker("conformance")
        if marker is not None and isinstance(item, pytest.Function):
            parameters = item.callspec.params
            subject = parameters["case"] if "case" in parameters else parameters["family"]
            item.user_properties += [("conformance", marker.args[0]), ("subject", subject)]


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Note:
    """Tells why a property does not hold as such: begins with ``refused: `` or ``none: `` where it does not at all."""
    return lambda text: request.node.user_properties.append(("note", text))


@pytest.fixture(scope="session")
def layouts() -> Layouts:
    """Layouts of cases by name: counting takes longer than most tests."""
    return cache(lambda name: ALL_CASES[name]().layout)


@pytest.fixture
def case(request: pytest.FixtureRequest, layouts: Layouts) -> Case:
    """A pipeline and a way to call it.

    One of a few kinds, in tests marked ``every_family`` of all that are supported, and in those marked ``conformance``
    also of transformers without an adapter.
    """
    return _made(request.param, layouts)


@pytest.fixture
def pixart(layouts: Layouts) -> Case:
    """PixArt-alpha with classifier-free guidance, two images in one transformer batch."""
    return _made("pixart-guided", layouts)


@pytest.fixture
def flux(layouts: Layouts) -> Case:
    """FLUX with a negative prompt: two transformer calls a step, in contexts of their own."""
    return _made("flux-true-cfg", layouts)


def _made(name: str, layouts: Layouts) -> Case:
    case = ALL_CASES[name]()
    case.layout = layouts(name)
    return case


@pytest.fixture
def reference() -> Reference:
    """The definition, replayed: what is not computed is the last computed output, or a forecast from the last two."""
    return _reference


def _reference(case: Case, schedule: Schedule, run: Callable[[], torch.Tensor]) -> torch.Tensor:
    transformer = case.pipe.transformer
    whole = len(schedule.layout)
    count = -1
    computed: defaultdict[tuple[int, int, int], list[Any]] = defaultdict(list)
    visits: Counter[tuple[int, int]] = Counter()

    def used(key: tuple[int, int, int], step: int, index: int) -> Any:
        """A computed output, or the forecast from the last two."""
        if not schedule.forecast[step, index]:
            return computed[key][-1]
        first, second = map(float, schedule.coefficients[step, index])
        before, last = computed[key][-2:]
        return tree_map(lambda x, y: torch.add(x * first, y, alpha=second), last, before)

    def replay_whole(forward: Callable[..., Any]) -> Callable[..., Any]:
        def replayed(*args: object, **kwargs: object) -> object:
            nonlocal count
            count += 1
            step, branch = divmod(count, case.calls_per_step)
            key = (branch, whole, 0)
            if not schedule.skip[step]:
                computed[key].append(forward(*args, **kwargs))
                return computed[key][-1]
            return used(key, step, whole)

        return replayed

    def replay(index: int, forward: Callable[..., Any]) -> Callable[..., Any]:
        def replayed(*args: object, **kwargs: object) -> object:
            step, branch = divmod(count, case.calls_per_step)
            visits[count, index] += 1  # some blocks call a component twice
            key = (branch, index, visits[count, index])
            if schedule.compute[step, index] or not computed[key]:
                output = forward(*args, **kwargs)
                if schedule.effective[step, index]:  # from what nobody reads nothing is forecast
                    computed[key].append(output)
                return output
            return used(key, step, index)

        return replayed

    patched = [transformer.get_submodule(slot.name) for slot in schedule.layout.slots]
    transformer.forward = replay_whole(transformer.forward)
    for index, module in enumerate(patched):
        module.forward = replay(index, module.forward)
    try:
        return run()
    finally:
        for module in (transformer, *patched):
            del module.forward
