"""Shared by the training stages: learning-rate schedule, checkpoints and the progress bar."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_CHECKPOINT_SECONDS = 60.0


def learning_rate_factor(step: int, steps: int, *, warmup: int = 100, decay_share: float = 0.35) -> float:
    """Warm-up, plateau, then cosine-free linear decay to zero over the last ``decay_share`` of the run.

    A plateau, unlike a one-cycle schedule, lets a resumed run be given more steps than it was started with.
    """
    left = (steps - step) / max(1.0, decay_share * steps)
    return max(0.0, min(1.0, (step + 1) / warmup, left))


class Checkpoint:
    """Training state in one file, written whole or not at all, about once a minute."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._written = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """The stored state, or None where there is none yet."""
        if not self.path.exists():
            return None
        state: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
        return state

    def due(self) -> bool:
        """Whether it is time to write again."""
        return time.monotonic() - self._written > _CHECKPOINT_SECONDS

    def save(self, state: dict[str, Any]) -> None:
        """Write the state beside the old one, then put it in its place."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.path)
        self._written = time.monotonic()


class StepBar:
    """A progress bar over training steps that shows the latest figures."""

    def __init__(self, progress: Progress, steps: int, start: int) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=steps, completed=start, figures="")
        self._start = start
        self._steps = steps
        self._last_line = time.monotonic()

    def __iter__(self) -> Iterator[int]:
        for step in range(self._start, self._steps):
            yield step
            self._progress.update(self._task, completed=step + 1)

    def show(self, step: int, **figures: float) -> None:
        """Show figures on the bar; where output is no terminal, print a line every 20 seconds instead."""
        text = "  ".join(f"{name} {value:.4f}" for name, value in figures.items())
        self._progress.update(self._task, figures=text)
        if not self._progress.console.is_terminal and time.monotonic() - self._last_line > 20:
            self._progress.console.print(f"step {step}/{self._steps}  {text}")
            self._last_line = time.monotonic()


@contextmanager
def step_bar(label: str, steps: int, start: int) -> Iterator[StepBar]:
    """A bar for one training stage."""
    columns = (
        TextColumn(label),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
    )
    with Progress(*columns) as progress:
        yield StepBar(progress, steps, start)
