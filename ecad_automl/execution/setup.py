"""What a worker in another process needs to evaluate as the search itself would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecad_automl.errors import EvaluationError
from ecad_automl.execution.worker import Worker
from ecad_automl.wording import option

if TYPE_CHECKING:
    from ecad_automl.models.calls import Calls


@dataclass(frozen=True)
class WorkerSetup:
    """How to load a model and its rewards by name, and what to evaluate on. Small, and can be pickled.

    Args:
        model: see :func:`~ecad_automl.models.load_model`, as are the revision, dtype and device.
        prompts: the prompts.
        seeds: the seeds of each prompt.
        reward: name of what to score with, see :func:`~ecad_automl.rewards.load_reward`.
        metrics: names of further metrics.
        generation: the settings of generation, see :class:`~ecad_automl.models.generation.GenerationSettings`.
        batch_size: images per pipeline call.
        scheduler: class in diffusers; None is the model's own.
        revision: revision of a hub model.
        dtype: name of the type of weights.
        device: torch device; None is CUDA where there is one.
        offload: what of the pipeline is on the device at a time.
        threads: threads of torch in each worker; None leaves torch to choose, or the executor.
        weights: what the weights of the model must be known by, see :func:`~ecad_automl.models.model_revision`.
        reference: ``(prompts * seeds, 3, h, w)`` uncached images, as an array; None has each worker make its own.
        calls: what the pipeline is called with in place of the prompts, see :class:`~ecad_automl.models.calls.Calls`.
        kind: class of the pipeline in diffusers that takes these calls.
    """

    model: str
    prompts: Sequence[str]
    seeds: Sequence[int]
    reward: str
    metrics: Sequence[str]
    generation: Any
    batch_size: int
    scheduler: str | None = None
    revision: str | None = None
    dtype: str | None = None
    device: str | None = None
    offload: str | None = None
    threads: int | None = None
    weights: str | None = None
    reference: NDArray[np.float32] | None = None
    calls: Calls | None = None
    kind: str | None = None

    def build(self, name: str) -> Worker:
        """Load everything; takes as long as loading the pipeline does.

        Raises:
            EvaluationError: the weights are others than those of the search.
            EcadError: the model or a reward cannot be loaded.
        """
        import torch

        from ecad_automl.allocator import keep_freed_memory
        from ecad_automl.judging.evaluation import Evaluator
        from ecad_automl.models.loading import LoadedModel, load_pipeline, model_revision
        from ecad_automl.rewards import load_reward, maximized

        keep_freed_memory()
        _be_quiet()
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        pipe = load_pipeline(
            self.model,
            kind=self.kind,
            revision=self.revision,
            dtype=self.dtype,
            device=self.device,
            offload=self.offload,
        )
        model = LoadedModel(pipe, self.model, model_revision(self.model, self.revision), self.generation, self.offload)
        if self.weights is not None and model.revision != self.weights:
            raise EvaluationError(
                f"The worker {name} has the model {self.model} in revision {model.revision}, but the search has it in "
                f"{self.weights}; give all machines the same files, or name a {option('revision')}."
            )
        model = model.with_scheduler(self.scheduler)
        evaluator = Evaluator(
            model.pipe,
            self.prompts,
            self.seeds,
            maximized(load_reward(self.reward, device=self.device)),
            self.generation,
            batch_size=self.batch_size,
            metrics={metric: load_reward(metric, device=self.device) for metric in self.metrics},
            reference=None if self.reference is None else torch.from_numpy(self.reference),
            calls=self.calls,
        )
        return Worker(evaluator, name)


def _be_quiet() -> None:
    """Progress bars of many workers in one terminal would say nothing."""
    import diffusers
    import transformers
    from tqdm import tqdm

    # Its own is one of several processes, which nobody cleans up after a worker that is killed.
    tqdm.set_lock(RLock())
    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
