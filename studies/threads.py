"""How many threads a search computes with on a CPU, chosen once for a study, and in how many processes."""

from __future__ import annotations

import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from ecad_automl.judging.evaluation import Evaluator
from ecad_automl.judging.threads import may_choose, one_is_enough, with_threads
from ecad_automl.schedules.heuristics import fora
from ecad_automl.schedules.layout import Layout
from storage import Store
from studies.progress import SearchObserver

_NAME = "threads"
_ONE, _ALL = b"1", b"all"
#: Seconds that a search without sharing or stopping would take, below which processes load for longer than they save.
_LONG = 60.0
#: How much faster several processes must be.
_FASTER = 1.05
#: Of the candidate that is timed, of which every other one reuses.
_STEPS = 6
_ROUNDS = 3

# Works as a small model does, and for seconds only, whatever becomes of whoever started it.
_BUSY = """
import time, numpy
end, values = time.monotonic() + 20, numpy.ones((192, 192), numpy.float32)
print(flush=True)
while time.monotonic() < end:
    values @ values
"""


@contextmanager
def fitting_threads(
    evaluator: Evaluator,
    layout: Layout,
    store: Store,
    study: str,
    observer: SearchObserver,
    *,
    started: bool,
    processes: int,
    evaluations: int,
) -> Iterator[int]:
    """Have torch compute with one thread where that is best, until the end of the block.

    That is so where one thread is hardly slower than all, or where several processes of one thread each, a candidate to
    each, are faster than one of all threads. Whether it is one thread is kept, so that a study computes alike whenever
    it goes on; scores are the same, bit for bit, however many processes there are. A study that began without goes on
    with all threads, as does one where ``OMP_NUM_THREADS`` says how many there are.

    Args:
        evaluator: makes the images that are timed, on a CPU.
        layout: of its transformer.
        store: keeps what is chosen.
        study: under this name.
        observer: is told where it is one thread.
        started: whether the study has begun.
        processes: how many there may be.
        evaluations: of the search.

    Yields:
        How many processes of one thread each are to make images, 1 for this one; 0 where it has all threads.
    """
    chosen = store.calibration(study, _NAME)
    schedule = fora(layout, _STEPS, 2)
    batches = math.ceil(evaluator.images_per_evaluation / evaluator.batch_size) * evaluations

    def run(threads: int = 1) -> None:
        evaluator.close()  # which shares first steps, of the same schedule all but the last
        with with_threads(threads):
            evaluator.generate_some(evaluator.batch_size, schedule)

    def faster(one: float) -> float:
        """How many times as many images several processes make as one of one thread, which takes so many seconds."""
        if processes < 2 or one * batches * evaluator.settings.steps / _STEPS < _LONG:
            return 1.0
        return processes / slowdown(run, processes - 1)

    several = 1.0
    if chosen is None and not started and may_choose(evaluator, layout.step_macs):
        threads = torch.get_num_threads()
        enough, one, everything = one_is_enough(run, threads)
        several = faster(one)
        chosen = _ONE if enough or several * min(1.0, everything / one) >= _FASTER else _ALL
        store.save_calibration(study, _NAME, chosen)
        if chosen == _ONE:
            observer.message(
                f"One thread for the model: {_STEPS} steps of a batch took {one:.2g} s with one, {everything:.2g} s "
                f"with {threads}; OMP_NUM_THREADS sets another number."
            )
    elif chosen == _ONE and "OMP_NUM_THREADS" not in os.environ:
        run()  # what is slow once
        several = faster(_seconds(run))
    if chosen != _ONE:
        yield 0
        return
    with with_threads(1):
        if several < _FASTER:
            yield 1
            return
        observer.message(
            f"{processes} processes of one thread each, which make {several:.2g} times as many images as one; "
            "OMP_NUM_THREADS=1 has one process."
        )
        yield processes


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def slowdown(run: Callable[[], object], others: int, *, now: Callable[[], float] = time.perf_counter) -> float:
    """How many times as long a run takes beside so many busy processes.

    Args:
        run: is made some times alone, and some times beside them.
        others: how many.
        now: seconds.
    """

    def median() -> float:
        return statistics.median(_seconds(run, now) for _ in range(_ROUNDS))

    run()  # what is slow once
    alone = median()
    with _busy(others):
        return median() / alone


def _seconds(run: Callable[[], object], now: Callable[[], float] = time.perf_counter) -> float:
    start = now()
    run()
    return now() - start


@contextmanager
def _busy(count: int) -> Iterator[None]:
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    others: list[subprocess.Popen[bytes]] = []
    try:
        while len(others) < count:
            command = [sys.executable, "-c", _BUSY]
            others.append(subprocess.Popen(command, stdout=subprocess.PIPE, env=one_thread))  # noqa: S603 - our own
        for other in others:
            assert other.stdout is not None
            other.stdout.readline()
        yield
    finally:
        for other in others:
            other.kill()
            other.communicate()
