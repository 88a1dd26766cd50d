"""One thread on a CPU for a model that is too small for more: by a short measurement, once for a study.

Threads of small kernels wait for each other more than they compute, and longest where another process has a core.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ecad_automl.judging.evaluation import Evaluator
    from ecad_automl.schedules.layout import Layout
    from storage import Store
    from studies.progress import SearchObserver

_NAME = "threads"
_ONE, _ALL = b"1", b"all"
_SMALL = 20e9  # multiply-accumulates of a step of a batch: larger models need all threads, and long to be timed
_STEPS = 2
_ROUNDS = 3
_SLOWER = 1.1  # that one thread may be, for a core or more that others can use


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
    taken = np.array([[seconds(1), seconds(threads)] for _ in range(_ROUNDS)])
    one, everything = np.median(taken, axis=0)
    return bool(np.median(taken[:, 0] / taken[:, 1]) <= _SLOWER), float(one), float(everything)


@contextmanager
def fitting_threads(
    evaluator: Evaluator, layout: Layout, store: Store, study: str, observer: SearchObserver, *, started: bool
) -> Iterator[None]:
    """Have torch compute with one thread where that is enough, until the end of the block.

    What was chosen is kept, so that a study computes alike whenever it goes on. A study that began without goes on with
    all threads, as does one where ``OMP_NUM_THREADS`` says how many there are.

    Args:
        evaluator: makes the images that are timed, on a CPU.
        layout: of its transformer.
        store: keeps what is chosen.
        study: under this name.
        observer: is told where it is one thread.
        started: whether the study has begun.
    """
    import torch

    threads = torch.get_num_threads()
    chosen = store.calibration(study, _NAME)
    step = layout.step_macs * evaluator.batch_size
    may_choose = chosen is None and not started and "OMP_NUM_THREADS" not in os.environ
    try:
        if may_choose and threads > 1 and 0 < step <= _SMALL:
            chosen = _chosen(evaluator, observer, threads)
            store.save_calibration(study, _NAME, chosen)
        torch.set_num_threads(1 if chosen == _ONE else threads)
        yield
    finally:
        torch.set_num_threads(threads)


def _chosen(evaluator: Evaluator, observer: SearchObserver, threads: int) -> bytes:
    import torch

    def run(count: int) -> None:
        torch.set_num_threads(count)
        evaluator.generate_some(evaluator.batch_size, steps=_STEPS)

    enough, one, everything = one_is_enough(run, threads)
    if not enough:
        return _ALL
    observer.message(
        f"One thread for the model: {_STEPS} steps of a batch took {one:.2g} s with one, {everything:.2g} s with "
        f"{threads}; OMP_NUM_THREADS sets another number."
    )
    return _ONE
