"""Pipelines of two transformers that take the steps in turns, as Wan 2.2: each has a schedule of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from ecad_automl.errors import UnsupportedModelError
from ecad_automl.runtime.apply import apply_schedule
from ecad_automl.runtime.given import Given
from ecad_automl.runtime.pair_member import NAMES, PairMember


def pair_of(pipe: Any, *, first: Given | None = None, second: Given | None = None) -> tuple[PairMember, PairMember]:
    """Both transformers of a pipeline, each in the place of it: for ``layout_of_call``, ``quick`` and ``search``.

    Args:
        pipe: a diffusers pipeline such as Wan 2.2's, with a ``boundary_ratio``.
        first: the schedule that its ``transformer`` runs under while the second one is looked at; None for uncached.
        second: likewise of its ``transformer_2``, while the first one is looked at.

    Raises:
        UnsupportedModelError: it has not two that take the steps in turns.
        EcadError: a schedule is none, or cannot be had, see :func:`~ecad_automl.apply_schedule`.
    """
    boundary = getattr(getattr(pipe, "config", None), "boundary_ratio", None)
    if boundary is None or any(getattr(pipe, name, None) is None for name in NAMES):
        raise UnsupportedModelError(
            f"{type(pipe).__name__} has not two transformers that take the steps in turns; use apply_schedule."
        )
    return _beside(pipe, NAMES[0], second), _beside(pipe, NAMES[1], first)


def _beside(pipe: Any, name: str, schedule: Given | None) -> PairMember:
    """One of them, whose calls have the other one under a schedule."""
    if schedule is None:
        return PairMember(pipe, name)
    other = PairMember(pipe, next(each for each in NAMES if each != name))
    # It is there between the calls of this one alone, so that others see the pipeline as it was.
    handle = apply_schedule(other, schedule)
    handle.remove()
    held = handle.schedule
    digest = hashlib.blake2b(held.to_genome().encode() + held.weights.tobytes(), digest_size=6).hexdigest()
    return PairMember(pipe, name, lambda: handle.switch(held), digest)


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
