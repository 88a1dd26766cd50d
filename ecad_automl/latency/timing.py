"""Two clocks: a whole pipeline call, and the time inside the forwards of its transformer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch import nn

T = TypeVar("T")


@dataclass(frozen=True)
class Timing:
    """One call.

    Args:
        whole: seconds of the call.
        transformer: seconds inside the transformer's forwards.
    """

    whole: float
    transformer: float


@dataclass(frozen=True)
class Clock:
    """How time is taken on a device.

    Args:
        now: seconds on the host.
        mark: makes a mark in the work of the device, without waiting for it.
        between: seconds from one mark to a later one; both must have been reached.
        wait: returns when the device has done all it was given.
    """

    now: Callable[[], float]
    mark: Callable[[], Any]
    between: Callable[[Any, Any], float]
    wait: Callable[[], None]


def clock_of(device: torch.device) -> Clock:
    """The clock of a device: CUDA's events on CUDA, the host's clock elsewhere.

    On CUDA nothing waits between the marks. On other devices that compute beside the host each mark has to wait.
    """
    import torch

    if device.type == "cuda":
        new_event: Any = torch.cuda.Event

        def record() -> Any:
            event = new_event(enable_timing=True)
            event.record(torch.cuda.current_stream(device))
            return event

        def between(begin: Any, end: Any) -> float:
            return float(begin.elapsed_time(end)) / 1000

        return Clock(time.perf_counter, record, between, lambda: torch.cuda.synchronize(device))

    def wait() -> None:
        if device.type != "cpu":
            torch.accelerator.synchronize(device)

    def mark() -> float:
        wait()
        return time.perf_counter()

    return Clock(time.perf_counter, mark, lambda begin, end: end - begin, wait)


def time_call(call: Callable[[], object], transformers: Sequence[nn.Module], clock: Clock) -> Timing:
    """Make one call of a pipeline and time it; on its own the transformer, with all hooks that are on it now.

    Args:
        call: makes it.
        transformers: of the pipeline, which has two where these take the steps in turns.
        clock: how time is taken.
    """
    with _spans(transformers, clock) as spans:
        clock.wait()
        start = clock.now()
        call()
        clock.wait()
        whole = clock.now() - start
    return Timing(whole, sum(clock.between(begin, end) for begin, end in spans))


def interleaved(names: Sequence[str], measure: Callable[[str], T], repeats: int) -> Iterator[dict[str, T]]:
    """Whole rounds of measurements: in each round every name once, so that a drift of the machine hits all alike.

    The order is drawn anew in each round: none always runs after the same other one.

    Yields:
        The measurements of a round by name, when the round is whole.
    """
    rng = np.random.default_rng(0)
    for _ in range(repeats):
        found = {names[index]: measure(names[index]) for index in rng.permutation(len(names))}
        yield {name: found[name] for name in names}


@contextmanager
def _spans(transformers: Sequence[nn.Module], clock: Clock) -> Iterator[list[tuple[Any, Any]]]:
    """Marks at the beginning and the end of each forward within the block."""
    spans: list[tuple[Any, Any]] = []
    begun: list[Any] = []

    def begin(*_: object) -> None:
        begun.append(clock.mark())

    def end(*_: object) -> None:
        spans.append((begun.pop(), clock.mark()))

    with ExitStack() as hooks:
        # Before and after all other hooks: what they cost is time of the transformer too.
        for transformer in transformers:
            hooks.callback(transformer.register_forward_pre_hook(begin, prepend=True).remove)
            hooks.callback(transformer.register_forward_hook(end).remove)
        yield spans
