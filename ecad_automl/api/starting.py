"""What the command and the Python API make of the plain values that a search is asked with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from ecad_automl.api.terminal import say
from ecad_automl.errors import EvaluationError

if TYPE_CHECKING:
    from studies import LatencySettings
    from studies.warm_start import Source

__all__ = ["known_schedules", "latency_settings", "noise_seeds", "study_name"]


def study_name(model: str) -> str:
    """What a study is called unless its user says otherwise."""
    return Path(model).name


def noise_seeds(images_per_prompt: int) -> tuple[int, ...]:
    """The seeds of so many images of each prompt.

    Raises:
        EvaluationError: there are none.
    """
    if images_per_prompt < 1:
        raise EvaluationError(f"There are {images_per_prompt} images per prompt; at least 1 is needed.")
    return tuple(range(images_per_prompt))


def latency_settings(cost: str, batch_size: int = 1, schedules: int = 40) -> LatencySettings | None:
    """How latency is modeled where it is the cost, None where MACs are.

    Raises:
        EvaluationError: the cost is unknown.
        StudyError: see :class:`~studies.config.LatencySettings`.
    """
    if cost not in ("gmacs", "latency"):
        raise EvaluationError(f"The cost {cost!r} is unknown; choose gmacs or latency.")
    from studies import LatencySettings

    return LatencySettings(batch_size, schedules) if cost == "latency" else None


def known_schedules(init: Sequence[str | Path], storage: str | Path, study: str, console: Console) -> list[Source]:
    """What a study is to start from; nothing is read once it has begun, so the sources need not be there any more.

    Args:
        init: the sources, see :func:`~studies.warm_start.read_source`.
        storage: where the study is, or will be.
        study: its name.
        console: where it is told what was read.

    Raises:
        EcadError: a source has nothing of use.
    """
    if not init:
        return []
    from studies.warm_start import has_started, read_source

    if has_started(storage, study):
        say(console, f"The study {study!r} has begun; --init counts only when it begins, and is not read again.")
        return []
    known = [read_source(source) for source in init]
    for source in known:
        evaluated = f", and {len(source.evaluated)} evaluations to learn from" if source.evaluated else ""
        say(console, f"Starting from {source.name}: {len(source.seeds)} schedules{evaluated}.", keep=[source.name])
        for note in source.notes:
            say(console, note, style="yellow")
    return known
