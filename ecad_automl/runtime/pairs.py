"""Pipelines of two transformers that take the steps in turns, as Wan 2.2: each has a schedule of its own."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from ecad_automl.errors import UnsupportedModelError
from ecad_automl.runtime.apply import apply_schedule
from ecad_automl.runtime.given import Given

if TYPE_CHECKING:
    from torch import nn

_NAMES = ("transformer", "transformer_2")


class PairMember:
    """One of the two transformers of a pipeline, standing for the pipeline where one with a single one is expected.

    It is called as the pipeline is, of which all runs; a run of it has the steps that are of this transformer.

    Args:
        pipe: a diffusers pipeline with a ``transformer`` for the first steps and a ``transformer_2`` for the others.
        name: which of them.
    """

    def __init__(self, pipe: Any, name: str) -> None:
        self._pipe, self._name = pipe, name
        #: None of it is of a pair any more.
        self.config: dict[str, Any] = {}
        self.transformer_2 = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the pipeline."""
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
        return (0, first) if self._name == _NAMES[0] else (first, len(scheduler.timesteps))


def pair_of(pipe: Any) -> tuple[PairMember, PairMember]:
    """Both transformers of a pipeline, each in the place of the pipeline: for ``layout_of_call``, ``quick``, ...

    Raises:
        UnsupportedModelError: it has not two that take the steps in turns.
    """
    boundary = getattr(getattr(pipe, "config", None), "boundary_ratio", None)
    if boundary is None or any(getattr(pipe, name, None) is None for name in _NAMES):
        raise UnsupportedModelError(
            f"{type(pipe).__name__} has not two transformers that take the steps in turns; use apply_schedule."
        )
    return PairMember(pipe, _NAMES[0]), PairMember(pipe, _NAMES[1])


@contextmanager
def apply_pair(pipe: Any, first: Given | None, second: Given | None, **options: Any) -> Iterator[None]:
    """For a while, have a pipeline of two transformers that take the steps in turns run under a schedule for each.

    The pipeline is called as always, with as many denoising steps as both have together.

    Args:
        pipe: a diffusers pipeline such as Wan 2.2's, with a ``boundary_ratio``.
        first: the schedule of its ``transformer``, of as many steps as are run by that; None leaves it uncached.
        second: likewise of its ``transformer_2``.
        options: of :func:`~ecad_automl.apply_schedule`.

    Raises:
        UnsupportedModelError: the pipeline has not two such transformers.
        EcadError: see :func:`~ecad_automl.apply_schedule`.
    """
    with ExitStack() as handles:
        for member, schedule in zip(pair_of(pipe), (first, second), strict=True):
            if schedule is not None:
                handles.enter_context(apply_schedule(member, schedule, **options))
        yield
