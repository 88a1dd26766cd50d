"""Workers that load nothing and score by arithmetic, for fleets of real processes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ecad_automl.errors import RewardError, UnsupportedModelError
from ecad_automl.execution import Task, Worker
from ecad_automl.schedules.layout import Layout, Slot
from ecad_automl.schedules.schedule import Schedule

STEPS = 4


def layout() -> Layout:
    slots = tuple(Slot(f"transformer_blocks.{block}", "ff", None, 1_000_000) for block in range(3))
    return Layout("PixArtTransformer2DModel", slots, 1_000_000)


def schedule(seed: int = 0) -> Schedule:
    return Schedule(layout(), np.random.default_rng(seed).random((STEPS, 3)) < 0.5)


@dataclass
class FakeScorer:
    """Scores images by number and compute, and does what the file ``orders`` says instead, once for each line."""

    folder: Path
    notes: list[str] = field(default_factory=list)

    def scores(self, candidate: Schedule, images: tuple[int, ...]) -> dict[str, Any]:
        orders = self.folder / "orders"
        lines = orders.read_text().splitlines() if orders.exists() else []
        if lines:
            orders.write_text("\n".join(lines[1:]))
            self._obey(lines[0])
        values = np.array(images) + candidate.mac_fraction
        return {"fake": values, "other": -values}

    def _obey(self, order: str) -> None:
        if order == "die":
            os._exit(1)
        if order == "note":
            self.notes.append("something to know")
        if order == "refuse":
            raise RewardError("The reward is nan.")
        if order == "break":
            raise ZeroDivisionError("by zero")
        if order == "hang":
            (self.folder / "hangs").write_text(str(os.getpid()))
            time.sleep(600)


@dataclass(frozen=True)
class FakeSetup:
    """In place of a :class:`~ecad_automl.execution.WorkerSetup`."""

    folder: Path
    device: str | None = None

    def build(self, name: str) -> Worker:
        with (self.folder / "built").open("a") as built:
            built.write(f"{name} {self.device} {os.getpid()}\n")
        if (self.folder / "missing").exists():
            raise UnsupportedModelError("There is no such model.")
        if (self.folder / "slow").exists():
            time.sleep(float((self.folder / "slow").read_text()))
        if (self.folder / "fatal").exists():
            os._exit(1)
        return Worker(FakeScorer(self.folder), name)


class Hanging:
    """An engine whose workers are done at once, or never."""

    def __init__(self, worker: Worker, hangs: Callable[[Task], bool]) -> None:
        self._worker, self._hangs = worker, hangs

    def start(self) -> str:
        return "worker"

    def load(self, worker: str, name: str) -> Future[Any]:
        return self._call(None)

    def run(self, worker: str, task: Task) -> Future[Any]:
        return Future() if self._hangs(task) else self._call(self._worker.run(task))

    def ready(self, calls: Sequence[Future[Any]], timeout: float | None) -> list[Future[Any]]:
        return list(wait(calls, timeout, FIRST_COMPLETED).done)

    def result(self, call: Future[Any]) -> Any:
        return call.result()

    def stop(self, worker: str) -> None: ...

    def close(self) -> None: ...

    def _call(self, result: Any) -> Future[Any]:
        call: Future[Any] = Future()
        call.set_result(result)
        return call
