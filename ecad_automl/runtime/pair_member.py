"""One of two transformers that take the steps of a pipeline in turns."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

#: Where a pipeline has the transformer of its first steps, and that of the others.
NAMES = ("transformer", "transformer_2")


class PairMember:
    """One of the two transformers of a pipeline, standing for the pipeline where one with a single one is expected.

    It is called as the pipeline is, of which all runs; a run of it has the steps that are of this transformer.

    Args:
        pipe: a diffusers pipeline with a ``transformer`` for the first steps and a ``transformer_2`` for the others.
        name: which of them.
        around: what each call is made in, such as a schedule of the other one.
        beside: what tells that from others; empty for nothing.
    """

    def __init__(
        self,
        pipe: Any,
        name: str,
        around: Callable[[], AbstractContextManager[Any]] = nullcontext,
        beside: str = "",
    ) -> None:
        self._pipe, self._name, self._around = pipe, name, around
        #: Which one it is, and what is around its calls: results depend on both.
        self.identity = {"transformer": name, **({"beside": beside} if beside else {})}
        #: None of it is of a pair any more.
        self.config: dict[str, Any] = {}
        self.transformer_2 = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the pipeline."""
        with self._around():
            return self._pipe(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipe, name)

    @property
    def transformer(self) -> nn.Module:
        """This one."""
        found: nn.Module = getattr(self._pipe, self._name)
        return found

    @property
    def whole(self) -> Any:
        """The pipeline."""
        return self._pipe

    def steps_in(self, asked: int) -> int:
        """How many steps of a run of ``num_inference_steps`` are of this transformer."""
        scheduler = copy.deepcopy(self.scheduler)
        scheduler.set_timesteps(asked)
        first, end = self.steps_of(scheduler)
        return end - first

    def steps_of(self, scheduler: Any) -> tuple[int, int]:
        """The first step of this transformer, and the first that is not, in the run that a scheduler is set to.

        This reads a tensor, once in a run.
        """
        boundary = self._pipe.config.boundary_ratio * scheduler.config.num_train_timesteps
        first = int((scheduler.timesteps >= boundary).sum())
        return (0, first) if self._name == NAMES[0] else (first, len(scheduler.timesteps))
