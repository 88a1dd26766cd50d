"""How many threads a search computes with on a CPU, chosen once for a study, and in how many processes."""

from __future__ import annotations

import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from ecad_automl.judging.evaluation import Evaluator
from ecad_automl.judging.threads import may_choose, takes_one, with_threads
from ecad_automl.schedules.layout import Layout
from storage import Store
from studies.progress import SearchObserver

_NAME = "threads"
_ONE, _ALL = b"1", b"all"
#: Seconds that a search without sharing or stopping would take, below which processes load for longer than they save.
_LONG = 60.0
#: How much faster several processes must be.
_FASTER = 1.15
_STEPS = 2
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
    evaluator: Evaluator, layout: Layout, store: Store, study: str, observer: SearchObserver, *, started: bool
) -> Iterator[bool]:
    """Have torch compute with one thread where that is enough, until the end of the block; says whether it is.

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
    chosen = store.calibration(study, _NAME)
    if chosen is None and not started and may_choose(evaluator, layout.step_macs):
        chosen = _ONE if takes_one(evaluator, observer.message) else _ALL
        store.save_calibration(study, _NAME, chosen)
    with with_threads(1) if chosen == _ONE else nullcontext():
        yield chosen == _ONE


def fitting_processes(evaluator: Evaluator, evaluations: int, observer: SearchObserver) -> int:
    """In how many processes of one thread each to make the images of a candidate: one for each core, or 1.

    Several are taken where a batch beside as many busy processes is slowed down by less than these would save. Scores
    are the same, bit for bit.

    Args:
        evaluator: makes images with one thread.
        evaluations: how many there may be.
        observer: is told where there are several.
    """
    batches = math.ceil(evaluator.images_per_evaluation / evaluator.batch_size)
    count = min(_cores(), batches)
    if count < 2 or "OMP_NUM_THREADS" in os.environ or evaluations * evaluator.baseline().seconds < _LONG:
        return 1
    slower = slowdown(lambda: evaluator.generate_some(evaluator.batch_size, steps=_STEPS), count - 1)
    faster = batches / math.ceil(batches / count) / slower
    if faster < _FASTER:
        return 1
    observer.message(
        f"{count} processes of one thread each: {batches} batches of images are done {faster:.2g} times as fast so, as "
        f"one takes {slower:.2g} times as long beside {count - 1} more; OMP_NUM_THREADS=1 has one process."
    )
    return count


def slowdown(run: Callable[[], object], others: int, *, now: Callable[[], float] = time.perf_counter) -> float:
    """How many times as long a run takes beside so many busy processes.

    Args:
        run: is made some times alone, and some times beside them.
        others: how many.
        now: seconds.
    """

    def seconds() -> float:
        start = now()
        run()
        return now() - start

    def median() -> float:
        return statistics.median(seconds() for _ in range(_ROUNDS))

    run()  # what is slow once
    alone = median()
    with _busy(others):
        return median() / alone


def _cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
