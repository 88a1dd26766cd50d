"""Pipelines to run, and a slow reference for what running under a schedule means."""

from __future__ import annotations

import inspect
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._pytree import tree_map

from ecad_automl.runtime.instrument import transformers_of
from ecad_automl.schedules.guidance import NONE
from ecad_automl.schedules.schedule import Schedule
from tests.runtime.cases import ALL_CASES, CASES, EACH_FAMILY, FEW, GENERIC_CASES, Case

#: Replays the definition of a schedule on a case while a function runs it.
Reference = Callable[["Case", Schedule, Callable[[], torch.Tensor]], torch.Tensor]

#: Adds to what a test of conformance tells, as why something is refused.
Note = Callable[[str], None]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" not in metafunc.fixturenames:
        return
    quiet = pytest.mark.filterwarnings("ignore::ecad_automl.errors.NoAdapterWarning")
    cases: list[Any] = [*FEW]
    if metafunc.definition.get_closest_marker("every_family") is not None:
        cases = [*EACH_FAMILY]
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


@pytest.fixture
def case(request: pytest.FixtureRequest) -> Case:
    """A pipeline and a way to call it.

    One of a few kinds, in tests marked ``every_family`` one of each family, and in those marked ``conformance`` all
    there are, also of transformers without an adapter.
    """
    return ALL_CASES[request.param]()


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
    """The definition, replayed: what is not computed is the last computed output, or a forecast from the last two."""
    return _reference


def _reference(case: Case, schedule: Schedule, run: Callable[[], torch.Tensor]) -> torch.Tensor:
    return _Replay(case, schedule).of(run)


class _Replay:
    """A run by the definition: everything is kept of every step, the outputs of both guidance branches apart.

    What is kept of a slot in a step in which only the conditional branch is computed is its output, and of the other
    branch what was kept before.
    """

    def __init__(self, case: Case, schedule: Schedule) -> None:
        self.case, self.schedule = case, schedule
        self.guidance = schedule.guidance
        self.one_batch = case.one_batch if not self.guidance.is_full else None
        self.count = -1
        #: By branch, slot and number of the call: what was kept, step by step.
        self.kept: defaultdict[tuple[int, int, int], list[Any]] = defaultdict(list)
        self.visits: Counter[tuple[int, int]] = Counter()
        self.differences: list[Any] = []
        self.conditional: Any = None

    def of(self, run: Callable[[], torch.Tensor]) -> torch.Tensor:
        patched = []
        for transformer in transformers_of(self.case.pipe):  # what is kept of one serves the other too
            transformer.forward = self.whole(transformer.forward)
            patched.append(transformer)
            for index, slot in enumerate(self.schedule.layout.slots):
                module = transformer.get_submodule(slot.name)
                module.forward = self.slot(index, module.forward)
                patched.append(module)
        try:
            return run()
        finally:
            for module in patched:
                del module.forward

    @property
    def step(self) -> int:
        return self.count // self.case.calls_per_step

    @property
    def branch(self) -> int:
        return self.count % self.case.calls_per_step

    def used(self, entries: list[Any], index: int) -> Any:
        """A kept output, or the forecast from the last two."""
        if not self.schedule.forecast[self.step, index]:
            return entries[-1]
        return _mixed(entries, self.schedule.coefficients[self.step, index])

    def whole(self, forward: Callable[..., Any]) -> Callable[..., Any]:
        index = len(self.schedule.layout)

        def replayed(*args: object, **kwargs: object) -> object:
            self.count += 1
            entries = self.kept[self.branch, index, 0]
            if self.schedule.skip[self.step]:
                return self.used(entries, index)
            entries.append(self.guided(forward, args, kwargs))
            return entries[-1]

        return replayed

    def guided(self, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The output of a transformer call that is not skipped."""
        if self.guidance.is_full:
            return forward(*args, **kwargs)
        alone = bool(self.guidance.alone[self.step])
        if self.one_batch is None:
            if not self.branch:
                self.conditional = forward(*args, **kwargs)
                return self.conditional
            if alone:
                return self.other(self.conditional)
            output = forward(*args, **kwargs)
            self.differences.append(tree_map(lambda x, y: x.float() - y.float(), self.conditional, output))
            return output
        if alone:
            names = [*inspect.signature(type(self.case.pipe.transformer).forward).parameters][1:]
            named = {**dict(zip(names, args, strict=False)), **kwargs}
            batch = len(next(iter(named.values())))
            shared = {name: value for name, value in named.items() if name in self.one_batch.shared}
            for name in self.one_batch.second:
                shared[name] = self.halves(named[name].transpose(0, 1), batch)[1].transpose(0, 1)
            half = forward(**{**tree_map(lambda x: self.halves(x, batch)[1], named, is_leaf=_is_list), **shared})
            if self.one_batch.lists:
                return (self.both([self.other(one, at) for at, one in enumerate(half[0])], half[0]),)
            return tree_map(self.both, self.other(half), half)
        output = forward(*args, **kwargs)
        if self.one_batch.lists:
            pairs = zip(*self.halves(output[0], len(output[0])), strict=True)
            self.differences.append([conditional - other for other, conditional in pairs])
        else:
            self.differences.append(tree_map(lambda x: self.minus(*self.halves(x, len(x))), output))
        return output

    def other(self, conditional: Any, at: int | None = None) -> Any:
        """The output of the branch without the prompt where it is not computed."""
        if self.guidance.actions[self.step] == NONE:
            return conditional
        differences = [each if at is None else each[at] for each in self.differences]
        if self.guidance.levels[self.step]:
            less = _mixed(differences, self.guidance.coefficients[self.step])
        else:
            less = differences[-1]
        return tree_map(lambda x, y: (x.float() - y).to(x.dtype), conditional, less)

    @staticmethod
    def minus(other: torch.Tensor, conditional: torch.Tensor) -> torch.Tensor:
        return conditional.float() - other.float()

    def halves(self, value: Any, batch: int) -> tuple[Any, Any]:
        """The half without and the half with the prompt of what is by image; what is not, twice."""
        assert self.one_batch is not None
        if not isinstance(value, (torch.Tensor, list)) or (isinstance(value, torch.Tensor) and not value.ndim):
            return value, value
        if len(value) != batch:
            return value, value
        first, second = value[: batch // 2], value[batch // 2 :]
        return (second, first) if self.one_batch.conditional_first else (first, second)

    def both(self, other: Any, conditional: Any) -> Any:
        assert self.one_batch is not None
        first, second = (conditional, other) if self.one_batch.conditional_first else (other, conditional)
        return first + second if isinstance(first, list) else torch.cat([first, second])

    def slot(self, index: int, forward: Callable[..., Any]) -> Callable[..., Any]:
        def replayed(*args: object, **kwargs: object) -> object:
            step, alone = self.step, bool(self.guidance.alone[self.step])
            self.visits[self.count, index] += 1  # some blocks call a component twice
            number = self.visits[self.count, index]
            if self.one_batch is None:
                # In its own call a branch has kept, by the end of each step, what it had or has now.
                entries = self.kept[self.branch, index, number]
                others = self.kept[1, index, number] if not self.guidance.is_full else []
                if self.computes(index, entries):
                    output = forward(*args, **kwargs)
                    if self.schedule.effective[step, index]:  # from what nobody reads nothing is forecast
                        entries.append(output)
                        if alone and others:
                            others.append(others[-1])
                    return output
                return self.used(entries, index)
            mine, others = (self.kept[branch, index, number] for branch in (0, 1))
            if self.computes(index, mine):
                output = forward(*args, **kwargs)
                if self.schedule.effective[step, index]:
                    other, conditional = (None, output) if alone else _parted(output, self.halves)
                    mine.append(conditional)
                    others.append(other if other is not None else (others[-1] if others else None))
                return output
            conditional = self.used(mine, index)
            return conditional if alone else tree_map(self.both, self.used(others, index), conditional)

        return replayed

    def computes(self, index: int, entries: list[Any]) -> bool:
        first = not self.guidance.is_full and self.step == self.guidance.begin()
        return bool(self.schedule.compute[self.step, index]) or not entries or first


def _parted(output: Any, halves: Callable[[torch.Tensor, int], tuple[Any, Any]]) -> tuple[Any, Any]:
    return tree_map(lambda x: halves(x, len(x))[0], output), tree_map(lambda x: halves(x, len(x))[1], output)


def _is_list(value: object) -> bool:
    return isinstance(value, list)


def _mixed(entries: list[Any], coefficients: Any) -> Any:
    """The forecast from the last two of what was kept."""
    first, second = map(float, coefficients)
    before, last = entries[-2:]
    return tree_map(lambda x, y: torch.add(x * first, y, alpha=second), last, before)
