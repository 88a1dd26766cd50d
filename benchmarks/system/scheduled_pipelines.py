"""A plugin of pytest: pipelines that tests of others call run under a schedule, and what each test came to is written.

For ``pytest -p benchmarks.system.scheduled_pipelines`` in a checkout of diffusers; its own modules are those of this
environment, not of the checkout. Two variables say what to do:

- ``SCHEDULE``: ``none``, ``all-compute`` (each call of the tested pipeline is under a schedule that computes
  everything, and it is removed after the call), or ``reuse`` (the first step is computed and all others reuse it, and
  the schedule stays on the pipeline from its first call on, while tests load, fuse and unload what they want).
- ``OUTCOMES``: the file that is written, JSON.
"""

from __future__ import annotations

import functools
import inspect
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

# Before the conftest of the checkout puts its own modules in front.
import diffusers
import pytest
from diffusers import DiffusionPipeline

from ecad_automl.errors import EcadError
from ecad_automl.runtime import ScheduleHandle, apply_schedule, slots_of
from ecad_automl.runtime.instrument import transformers_of
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule

_FIRST_LINE = 300
#: What differs from run to run in messages: places in memory and folders for a while.
_PASSING = re.compile(r"0x[0-9a-f]+|/tmp/[^\s'\"]+|\d+\.\d+ ?s\b")


def pytest_configure(config: pytest.Config) -> None:
    """Begin, where it is told what to do."""
    if "OUTCOMES" in os.environ:
        config.pluginmanager.register(Watch(os.environ.get("SCHEDULE", "none"), Path(os.environ["OUTCOMES"])))


class Watch:
    """What tests came to, and under what their pipelines ran.

    Args:
        mode: see the module.
        path: where it is written at the end.
    """

    def __init__(self, mode: str, path: Path) -> None:
        self._mode, self._path = mode, path
        self._tests: dict[str, dict[str, Any]] = {}
        self.scheduled = 0
        self.refused: Counter[str] = Counter()
        self._kept: WeakKeyDictionary[DiffusionPipeline, ScheduleHandle] = WeakKeyDictionary()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Have the classes of pipelines that are tested call under a schedule."""
        found = {getattr(getattr(item, "cls", None), "pipeline_class", None) for item in items}
        for kind in found if self._mode != "none" else ():
            if isinstance(kind, type) and issubclass(kind, DiffusionPipeline):
                kind.__call__ = self._under_a_schedule(kind.__call__)  # type: ignore[method-assign]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Any:
        """Begin to count for one test."""
        self.scheduled, self.refused = 0, Counter()
        self._tests[item.nodeid] = {"outcome": "passed", "said": ""}
        done = yield
        self._tests[item.nodeid] |= {"scheduled": self.scheduled, "refused": dict(self.refused)}
        return done

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what a part of a test came to."""
        if report.outcome == "passed":
            return
        outcome = report.outcome if report.when == "call" or report.skipped else "error"
        crash = getattr(report.longrepr, "reprcrash", None)
        said = crash.message if crash else str(report.longrepr)
        self._tests[report.nodeid] |= {"outcome": outcome, "said": _PASSING.sub("...", said)[:_FIRST_LINE]}

    def pytest_sessionfinish(self) -> None:
        """Write all of it."""
        versions = {each: version(each) for each in ("diffusers", "transformers", "peft", "torch")}
        # What is imported counts, not what is installed beside it.
        document = {"versions": versions | {"diffusers": diffusers.__version__}, "tests": self._tests}
        self._path.write_text(json.dumps(document, indent=1))

    def _under_a_schedule(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def call(pipe: DiffusionPipeline, *args: Any, **kwargs: Any) -> Any:
            with ExitStack() as applied:
                try:
                    steps = steps_of_call(original, pipe, args, kwargs)
                    if self._mode == "reuse":
                        self._keep(pipe, _first_reused(pipe, steps))
                    else:
                        applied.enter_context(apply_schedule(pipe, _computed(pipe, steps)))
                    self.scheduled += 1
                except (EcadError, TypeError) as error:  # a call without the arguments that it needs has no steps
                    self.refused[f"{type(error).__name__}: {error}"] += 1
                return original(pipe, *args, **kwargs)

        return call

    def _keep(self, pipe: DiffusionPipeline, schedule: Schedule) -> None:
        if pipe in self._kept:
            self._kept[pipe].switch(schedule)
        else:
            self._kept[pipe] = apply_schedule(pipe, schedule)


def steps_of_call(function: Callable[..., Any], pipe: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int:
    """How many steps a call of a pipeline asks for.

    Raises:
        TypeError: it cannot be called like that, or takes no number of steps.
    """
    given = inspect.signature(function).bind(pipe, *args, **kwargs)
    given.apply_defaults()
    for name in ("timesteps", "sigmas"):
        if given.arguments.get(name) is not None:
            return len(given.arguments[name])
    steps = given.arguments.get("num_inference_steps")
    if steps is None:
        raise TypeError(f"{type(pipe).__name__} takes no number of steps.")
    return int(steps)


def _computed(pipe: Any, steps: int) -> Schedule:
    transformer = transformers_of(pipe)[0]
    return Schedule.all_compute(Layout(type(transformer).__name__, slots_of(transformer)), steps)


def _first_reused(pipe: Any, steps: int) -> Schedule:
    schedule = _computed(pipe, steps)
    compute = schedule.compute.copy()
    compute[1:] = False
    return Schedule(schedule.layout, compute)
