"""Where candidates are evaluated: in this process, in others beside it, or on the machines of a Ray cluster.

Whoever drives a search submits tasks and waits for outcomes, and cares neither where they are done nor whether a worker
was lost on the way.
"""

from __future__ import annotations

from ecad_automl.execution.settings import Execution
from ecad_automl.execution.setup import WorkerSetup
from ecad_automl.execution.worker import Executor, Failure, LocalExecutor, Outcome, Task, Worker

__all__ = [
    "Execution",
    "Executor",
    "Failure",
    "LocalExecutor",
    "Outcome",
    "Task",
    "Worker",
    "WorkerSetup",
]
