"""Workers that are actors of a Ray cluster: one that this process starts on its machine, or one that is there."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from ecad_automl.errors import EcadError, EvaluationError
from ecad_automl.execution._fleet import WorkerLostError
from ecad_automl.execution.setup import WorkerSetup
from ecad_automl.execution.worker import Outcome, Task, Worker
from ecad_automl.wording import option


class _Actor:
    """A worker in an actor's process; loads when it is told, so that what fails then can be told apart."""

    def __init__(self, setup: WorkerSetup) -> None:
        self._setup = setup
        self._worker: Worker | None = None

    def load(self, name: str) -> None:
        """Load the pipeline and the rewards."""
        self._worker = self._setup.build(name)

    def run(self, task: Task) -> Outcome:
        """Do a task."""
        assert self._worker is not None
        return self._worker.run(task)


class RayEngine:
    """See :class:`~ecad_automl.execution._fleet.Engine`.

    Args:
        setup: what workers load. Models are named, so each machine must be able to load them; a machine loads weights
            from its disk, which its workers share as far as the operating system does.
        workers: how many actors.
        address: of a running cluster, such as ``auto`` or ``ray://host:10001``; None starts one on this machine.
        gpus_per_worker: GPUs that Ray reserves for each; the worker then sees no other.
        cpus_per_worker: CPUs likewise.

    Raises:
        EvaluationError: the cluster cannot be reached, or it has not as many GPUs or CPUs as the workers take together.
    """

    def __init__(
        self,
        setup: WorkerSetup,
        workers: int,
        address: str | None = None,
        gpus_per_worker: float = 0.0,
        cpus_per_worker: float = 1.0,
    ) -> None:
        import ray

        self._ray = ray
        self._own = not ray.is_initialized()
        if self._own:
            self._connect(address, workers, gpus_per_worker, cpus_per_worker)
        needed = {"GPU": gpus_per_worker * workers, "CPU": cpus_per_worker * workers}
        there: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        for kind, number in needed.items():
            if number > there.get(kind, 0.0):
                self.close()
                raise EvaluationError(
                    f"{workers} workers take {number:g} {kind}s together, but the Ray cluster has "
                    f"{there.get(kind, 0.0):g}; ask for fewer {option('workers')}, or add machines to the cluster."
                )
        actor = ray.remote(num_cpus=cpus_per_worker, num_gpus=gpus_per_worker, max_restarts=0)(_Actor)
        self._actor: Any = actor
        self._setup = ray.put(setup)

    def _connect(self, address: str | None, workers: int, gpus_per_worker: float, cpus_per_worker: float) -> None:
        options: dict[str, Any] = {} if address else {"num_cpus": max(1, round(workers * cpus_per_worker + 0.5))}
        if not address and not gpus_per_worker:
            options["num_gpus"] = 0
        try:
            self._ray.init(
                address or "local", include_dashboard=None if address else False, logging_level=logging.ERROR, **options
            )
        except (ConnectionError, RuntimeError, ValueError, TimeoutError, OSError) as error:
            where = f"at {address}" if address else "on this machine"
            raise EvaluationError(
                f"No Ray cluster {where} can be used ({_line(error)}); start one with 'ray start --head', or leave "
                f"{option('address')} out to have one on this machine."
            ) from error

    def start(self) -> Any:
        return self._actor.remote(self._setup)

    def load(self, worker: Any, name: str) -> Any:
        return worker.load.remote(name)

    def run(self, worker: Any, task: Task) -> Any:
        return worker.run.remote(task)

    def ready(self, calls: Sequence[Any], timeout: float | None) -> list[Any]:
        over, _ = self._ray.wait(list(calls), num_returns=1, timeout=timeout)
        # All others that are over by now, too: one wait for each outcome would cost as much as the outcomes.
        more, _ = self._ray.wait(list(calls), num_returns=len(calls), timeout=0) if over else ([], [])
        return list(more or over)

    def result(self, call: Any) -> Any:
        try:
            return self._ray.get(call)
        except self._ray.exceptions.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, EcadError):
                raise cause from error
            raise WorkerLostError(f"It broke off: {_line(cause or error)}.") from error
        except self._ray.exceptions.RayError as error:
            raise WorkerLostError(f"{_line(error)}.") from error

    def stop(self, worker: Any) -> None:
        with suppress(Exception):  # it may be gone already, or the cluster
            self._ray.kill(worker)

    def close(self) -> None:
        if self._own and self._ray.is_initialized():
            self._ray.shutdown()


def _line(error: BaseException) -> str:
    """The first line of what an error says."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".")
