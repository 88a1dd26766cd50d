"""Which workers a search asks for."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Literal, get_args

from ecad_automl.errors import EvaluationError
from ecad_automl.execution.setup import WorkerSetup
from ecad_automl.execution.worker import Executor
from ecad_automl.wording import option

ExecutorName = Literal["local", "processes", "ray"]


@dataclass(frozen=True)
class Execution:
    """Where candidates are evaluated.

    Args:
        executor: "local" is the process of the search, "processes" are others of this machine, which take its GPUs in
            turn, "ray" are actors of a Ray cluster.
        workers: how many candidates, or parts of one, are evaluated at a time; 1 where it is local.
        address: of a running Ray cluster, such as ``auto``; None starts one on this machine.
        gpus_per_worker: GPUs that Ray reserves for each worker; by default 1 where the search itself is on a GPU.
        evaluation_timeout: seconds that a worker may take over the images of a candidate that it is given at a time;
            one that takes longer is ended and replaced, and the candidate is tried again. Loading the model does not
            count. None sets no limit, nor can "local" have one.

    Raises:
        EvaluationError: a value is out of range, or goes with another executor.
    """

    executor: ExecutorName = "local"
    workers: int = 1
    address: str | None = None
    gpus_per_worker: float | None = None
    evaluation_timeout: float | None = None

    def __post_init__(self) -> None:
        if self.executor not in get_args(ExecutorName):
            known = ", ".join(get_args(ExecutorName))
            raise EvaluationError(f"The executor {self.executor!r} is unknown; choose one of {known}.")
        if self.workers < 1:
            raise EvaluationError(f"There are to be {self.workers} workers; at least 1 is needed.")
        if self.executor == "local" and self.workers > 1:
            raise EvaluationError(
                f"The executor 'local' is one process, so it cannot have {self.workers} workers; choose 'processes' "
                "or 'ray'."
            )
        if self.executor != "ray" and (self.address is not None or self.gpus_per_worker is not None):
            raise EvaluationError(
                f"An address and GPUs per worker are for the executor 'ray', not for {self.executor!r}; leave them out."
            )
        if self.gpus_per_worker is not None and self.gpus_per_worker < 0:
            raise EvaluationError(f"There are to be {self.gpus_per_worker:g} GPUs per worker; it must not be negative.")
        if self.evaluation_timeout is None:
            return
        if not 0 < self.evaluation_timeout < math.inf:
            raise EvaluationError(
                f"The evaluation timeout is {self.evaluation_timeout:g} seconds; it must be positive and finite. Leave "
                "it out to have no limit."
            )
        if self.executor == "local":
            raise EvaluationError(
                "The executor 'local' evaluates in the process of the search, which cannot end itself after an "
                f"evaluation timeout; use {option('executor')} processes."
            )

    def check_installed(self) -> None:
        """Look for what the executor needs, before anything that takes long.

        Raises:
            EvaluationError: Ray is not installed.
        """
        if self.executor == "ray" and find_spec("ray") is None:
            raise EvaluationError(
                "The executor 'ray' needs the package ray; install it with: pip install 'ecad-automl[ray]'."
            )

    def start(self, setup: WorkerSetup) -> Executor:
        """Start the workers; they load in the background.

        Args:
            setup: what they load; its device is that of the search.

        Raises:
            EvaluationError: the executor is local, or Ray's cluster has too little.
        """
        from ecad_automl.execution._fleet import Engine, Fleet

        on_gpu = (setup.device or "cpu").startswith("cuda")
        share = max(1, (os.cpu_count() or 1) // self.workers)
        engine: Engine
        if self.executor == "processes":
            from ecad_automl.execution._processes import ProcessEngine

            threads = None if on_gpu else setup.threads or share
            engine = ProcessEngine(replace(setup, threads=threads), _gpus() if on_gpu else [])
        elif self.executor == "ray":
            from ecad_automl.execution._ray_cluster import RayEngine

            gpus = float(on_gpu) if self.gpus_per_worker is None else self.gpus_per_worker
            # Which of its GPUs a worker has is for Ray to say.
            anywhere = replace(setup, device="cuda" if gpus else None)
            engine = RayEngine(anywhere, self.workers, self.address, gpus, 1 if gpus or self.address else share)
        else:
            raise EvaluationError("The executor 'local' has no workers to start.")
        return Fleet(engine, self.workers, self.evaluation_timeout)


def _gpus() -> list[str]:
    import torch

    return [f"cuda:{index}" for index in range(torch.cuda.device_count())]
