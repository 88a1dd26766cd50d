"""Shared by the training stages: the loop with its learning rate, checkpoints and progress bar."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import nn

from ecad_automl.files.tensor_file import read_tensor_file

__all__ = ["learning_rate_factor", "progress_bar", "train"]

_CHECKPOINT_SECONDS = 60.0
_LINE_SECONDS = 20.0


def learning_rate_factor(step: int, steps: int, *, warmup: int = 100, decay_share: float = 0.35) -> float:
    """Warm-up, plateau, then linear decay to zero over the last ``decay_share`` of the run.

    A plateau, unlike a one-cycle schedule, lets a resumed run be given more steps than it was started with.
    """
    left = (steps - step) / max(1.0, decay_share * steps)
    return max(0.0, min(1.0, (step + 1) / warmup, left))


def progress_bar(label: str) -> Progress:
    """A progress bar whose tasks have a field ``figures``."""
    return Progress(
        TextColumn(label),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
    )


def train(
    label: str,
    checkpoint: Path,
    modules: Mapping[str, nn.Module],
    optimizers: Sequence[torch.optim.Optimizer],
    steps: int,
    step: Callable[[int], Mapping[str, torch.Tensor] | None],
    *,
    decay_share: float,
) -> None:
    """Run the steps that the checkpoint does not hold yet; write it about once a minute and however the run ends.

    Args:
        label: shown before the bar.
        checkpoint: file of the training state; written whole or not at all.
        modules: what to store, by name.
        optimizers: their initial learning rates are the peaks.
        steps: number of steps in all.
        step: does one step of all optimizers, given its number; may return figures to show.
        decay_share: see :func:`learning_rate_factor`.
    """
    done = _load(checkpoint, modules, optimizers)
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    written = printed = time.monotonic()
    with progress_bar(label) as bar:
        task = bar.add_task("", total=steps, completed=done, figures="")
        try:
            for number in range(done, steps):
                for group in groups:
                    group["lr"] = group["initial_lr"] * learning_rate_factor(number, steps, decay_share=decay_share)
                # What a step draws depends on its number alone, so a resumed run is the same as an unbroken one.
                torch.manual_seed(number)
                figures = step(number)
                done = number + 1
                bar.update(task, completed=done)
                if figures and number % 10 == 0:
                    text = "  ".join(f"{name} {float(value):.4f}" for name, value in figures.items())
                    bar.update(task, figures=text)
                    if not bar.console.is_terminal and time.monotonic() - printed > _LINE_SECONDS:
                        bar.console.print(f"{label} {done}/{steps}  {text}")
                        printed = time.monotonic()
                if time.monotonic() - written > _CHECKPOINT_SECONDS:
                    _save(checkpoint, modules, optimizers, done)
                    written = time.monotonic()
        finally:
            _save(checkpoint, modules, optimizers, done)


def _load(path: Path, modules: Mapping[str, nn.Module], optimizers: Sequence[torch.optim.Optimizer]) -> int:
    """The number of steps done; learning rates of the optimizers as created stay in ``initial_lr``."""
    peaks = [[float(group["lr"]) for group in optimizer.param_groups] for optimizer in optimizers]
    done = 0
    if path.exists():
        state: dict[str, Any] = read_tensor_file(path)
        for name, module in modules.items():
            module.load_state_dict(state[name])
        for optimizer, stored in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(stored)
        done = int(state["step"])
    for optimizer, rates in zip(optimizers, peaks, strict=True):
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["initial_lr"] = rate
    return done


def _save(path: Path, modules: Mapping[str, nn.Module], optimizers: Sequence[torch.optim.Optimizer], step: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    state: dict[str, Any] = {name: module.state_dict() for name, module in modules.items()}
    state |= {"optimizers": [optimizer.state_dict() for optimizer in optimizers], "step": step}
    torch.save(state, partial)
    partial.replace(path)
