"""One thread on a CPU for a model that is too small for more, by a short measurement.

Threads of small kernels wait for each other more than they compute, and longest where another process has a core.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import numpy as np
import torch

from ecad_automl.judging.evaluation import Evaluator
from ecad_automl.models.memory import running_device

_SMALL = 20e9  # multiply-accumulates of a step of a batch: larger models need all threads, and long to be timed
_STEPS = 2
_ROUNDS = 3
_SLOWER = 1.1  # that one thread may be, for a core or more that others can use
_HOPELESS = 3.0  # times as long as with one thread: all of them wait for a core that others have


def one_is_enough(
    run: Callable[[int], object], threads: int, *, now: Callable[[], float] = time.perf_counter
) -> tuple[bool, float, float]:
    """Time a run with one thread and with all in turn.

    Args:
        run: makes the run with so many threads.
        threads: how many all are.
        now: seconds.

    Returns:
        Whether one is enough, and the median seconds with one and with all.
    """

    def seconds(count: int) -> float:
        start = now()
        run(count)
        return now() - start

    run(1)  # what is slow once
    rounds: list[list[float]] = []
    while len(rounds) < _ROUNDS and not any(everything > _HOPELESS * one for one, everything in rounds):
        rounds.append([seconds(1), seconds(threads)])
    taken = np.array(rounds)
    one, everything = np.median(taken, axis=0)
    return bool(np.median(taken[:, 0] / taken[:, 1]) <= _SLOWER), float(one), float(everything)


def may_choose(evaluator: Evaluator, step_macs: int) -> bool:
    """Whether threads are to be chosen: on a CPU, for a small model, unless ``OMP_NUM_THREADS`` says how many.

    Args:
        evaluator: makes the images.
        step_macs: multiply-accumulates of a step for one image.
    """
    if str(running_device(evaluator.pipe)) != "cpu" or "OMP_NUM_THREADS" in os.environ or torch.get_num_threads() == 1:
        return False
    return 0 < step_macs * evaluator.batch_size <= _SMALL


def takes_one(evaluator: Evaluator, tell: Callable[[str], object]) -> bool:
    """Whether one thread is enough for an evaluator's images; ``tell`` is told where it is."""
    threads = torch.get_num_threads()

    def run(count: int) -> None:
        with with_threads(count):
            evaluator.generate_some(evaluator.batch_size, steps=_STEPS)

    enough, one, everything = one_is_enough(run, threads)
    if enough:
        tell(
            f"One thread for the model: {_STEPS} steps of a batch took {one:.2g} s with one, {everything:.2g} s with "
            f"{threads}; OMP_NUM_THREADS sets another number."
        )
    return enough


@contextmanager
def enough_threads(
    evaluator: Evaluator, step_macs: int, tell: Callable[[str], object] = lambda _: None
) -> Iterator[None]:
    """Have torch compute with one thread until the end of the block where that is enough for an evaluator's images.

    Args:
        evaluator: makes them.
        step_macs: multiply-accumulates of a step for one image.
        tell: is told where it is one thread.
    """
    one = may_choose(evaluator, step_macs) and takes_one(evaluator, tell)
    with with_threads(1) if one else nullcontext():
        yield


@contextmanager
def with_threads(count: int) -> Iterator[None]:
    """Have torch compute with so many threads until the end of the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
