"""Workers that are processes of this machine, each in a pool of its own, so that one that dies takes no other along."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import wait as wait_for
from typing import Any

from ecad_automl.execution._fleet import WorkerLostError
from ecad_automl.execution.setup import WorkerSetup
from ecad_automl.execution.worker import Outcome, Task, Worker


class ProcessEngine:
    """See :class:`~ecad_automl.execution._fleet.Engine`.

    Args:
        setup: what workers load.
        devices: torch devices that workers take in turn; none leaves all to the device of the setup.
    """

    def __init__(self, setup: WorkerSetup, devices: Sequence[str] = ()) -> None:
        self._setup = setup
        self._devices = list(devices)
        self._idle_devices = list(devices)
        self._device_of: dict[int, str] = {}

    def start(self) -> ProcessPoolExecutor:
        pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"), initializer=_prepare)
        if self._devices:
            if not self._idle_devices:
                self._idle_devices = list(self._devices)
            self._device_of[id(pool)] = self._idle_devices.pop(0)
        return pool

    def load(self, worker: ProcessPoolExecutor, name: str) -> Future[None]:
        device = self._device_of.get(id(worker), self._setup.device)
        return worker.submit(_load, replace(self._setup, device=device), name)

    def run(self, worker: ProcessPoolExecutor, task: Task) -> Future[Outcome]:
        try:
            return worker.submit(_run, task)
        except BrokenProcessPool as error:  # it died while it had nothing to do
            failed: Future[Outcome] = Future()
            failed.set_exception(error)
            return failed

    def ready(self, calls: Sequence[Future[Any]], timeout: float | None) -> list[Future[Any]]:
        return list(wait(calls, timeout, FIRST_COMPLETED).done)

    def result(self, call: Future[Any]) -> Any:
        try:
            return call.result()
        except BrokenProcessPool as error:
            raise WorkerLostError(
                "Its process ended on its own or was killed; too little memory is a usual cause."
            ) from error

    def stop(self, worker: ProcessPoolExecutor) -> None:
        device = self._device_of.pop(id(worker), None)
        if device is not None:
            self._idle_devices.insert(0, device)
        for process in list((worker._processes or {}).values()):
            process.kill()
        worker.shutdown(cancel_futures=True)

    def close(self) -> None:
        """Nothing is left once all workers are stopped."""


#: What this process has loaded, where it is a worker.
_LOADED: list[Worker] = []


def _prepare() -> None:
    """Ctrl-C is for the search to handle; and a worker ends with the search, however that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    with suppress(OSError):
        wait_for([sentinel])
    os._exit(1)


def _load(setup: WorkerSetup, name: str) -> None:
    _LOADED[:] = [setup.build(name)]


def _run(task: Task) -> Outcome:
    return _LOADED[0].run(task)
