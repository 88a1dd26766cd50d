"""Where the time of a step goes: by kind of operation, and what is left for Python and PyTorch's own dispatch.

Processor time on one thread of a CPU: of each operation as it comes to PyTorch's dispatcher, and of whole steps in
other runs, in which no operation is looked at; the rest is their difference. After one computed step all others of a
run reuse everything; of these, and of the steps of an uncached run, the median of each kind is taken.

    python -m benchmarks.runtime.step_profile --model flux-384 --label "rows that are read"

What is found is added under its label to what was there, so that versions of the code stand side by side.
"""

from __future__ import annotations

import json
import re
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.console import Console
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.machine import RESULTS, machine
from benchmarks.runtime.random_models import MODELS
from ecad_automl.allocator import keep_freed_memory
from ecad_automl.runtime import apply_schedule
from ecad_automl.schedules.schedule import Schedule

STEPS = 10
#: The first is computed, in the second functions are made.
_FIRST = 2
#: By what share of a step whole runs differ.
_NOISE = 0.05
#: Which operations are counted together, by what their names contain: the first that fits.
KINDS: Mapping[str, tuple[str, ...]] = {
    "matrix products": ("addmm", "aten::mm", "bmm", "baddbmm", "mkldnn_linear"),
    "attention": ("scaled_dot_product", "flash_attention"),
    "joining cached outputs": ("addcmul",),
    "copies": ("copy_", "aten::cat", "clone", "contiguous"),
    "other arithmetic": ("aten::",),
}
#: Operations that give another view of what is there.
_VIEWS = re.compile(
    r"aten::(_unsafe_)?(view|t|transpose|permute|slice|select|narrow|unsqueeze|expand|as_strided|chunk|split|reshape"
    r"|unflatten|flatten|empty|empty_strided|unbind|alias|detach)"
)
REST = "Python, dispatch, views"


def main(
    label: Annotated[str, typer.Option(help="What the version of the code is called.")],
    model: Annotated[str, typer.Option(help=f"One of {', '.join(MODELS)}.")] = "flux-384",
    runs: Annotated[int, typer.Option(help="How many are looked at.")] = 3,
    results: Annotated[Path, typer.Option(help="Folder of the results.")] = RESULTS,
) -> None:
    """Profile the steps of one model."""
    torch.set_num_threads(1)
    keep_freed_memory()
    torch.manual_seed(0)
    subject = MODELS[model]("cpu")
    subject.pipe.set_progress_bar_config(disable=True)
    inputs = subject.inputs(1)
    compute = np.zeros((STEPS, len(subject.layout)), dtype=np.bool_)
    compute[0] = True
    schedule = Schedule(subject.layout, compute)

    def run() -> None:
        generator = torch.Generator().manual_seed(0)
        subject.pipe(**inputs, num_inference_steps=STEPS, generator=generator, output_type="latent")

    def measured(runs: int) -> dict[str, float]:
        run()
        transformer = subject.pipe.transformer
        steps = [step for _ in range(runs) for step in _steps(transformer, run, by_kind=True)[_FIRST:]]
        whole = [step["all"] for _ in range(runs) for step in _steps(transformer, run, by_kind=False)[_FIRST:]]
        kinds = {kind: float(np.median([step.get(kind, 0.0) for step in steps])) for kind in KINDS}
        return {**kinds, REST: float(np.median(whole)) - sum(kinds.values())}

    found = {"uncached": measured(runs)}
    with apply_schedule(subject.pipe, schedule):
        found["reused"] = measured(5 * runs)  # these are short
    path = results / f"step_profile-{model}.json"
    told = json.loads(path.read_text()) if path.exists() else {"model": model, "steps": STEPS, "versions": {}}
    told["versions"][label] = {"machine": machine(), "milliseconds": found}
    path.write_text(json.dumps(told, indent=2) + "\n")
    Console().print(table(told), highlight=False)


def table(told: Mapping[str, Any]) -> str:
    """Milliseconds of a step, in Markdown: uncached in the last version, and wholly reused in each."""
    versions = told["versions"]
    columns = {"uncached": list(versions.values())[-1]["milliseconds"]["uncached"]}
    columns |= {f"reused, {label}": version["milliseconds"]["reused"] for label, version in versions.items()}
    lines = [f"| ms | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    lines += [f"| {kind} | {' | '.join(f'{column[kind]:.2f}' for column in columns.values())} |" for kind in KINDS]
    lines.append(f"| {REST} | {' | '.join(map(_rest, columns.values()))} |")
    lines.append(f"| all | {' | '.join(f'{sum(column.values()):.2f}' for column in columns.values())} |")
    return "\n".join(lines)


def _rest(column: Mapping[str, float]) -> str:
    """What is left, if it is more than such differences of runs vary by."""
    return f"{column[REST]:.2f}" if abs(column[REST]) > _NOISE * sum(column.values()) else "-"


class _Timed(TorchDispatchMode):
    """Adds up the processor time of operations by kind."""

    def __init__(self) -> None:
        super().__init__()
        self.milliseconds: defaultdict[str, float] = defaultdict(float)

    def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kind = _kind(func.name())
        begun = time.thread_time()
        found = func(*args, **(kwargs or {}))
        if kind is not None:
            self.milliseconds[kind] += 1000 * (time.thread_time() - begun)
        return found


def _steps(transformer: nn.Module, run: Callable[[], None], *, by_kind: bool) -> list[dict[str, float]]:
    """Milliseconds of each transformer call of a run: of its operations by kind, or of all of it."""
    found: list[dict[str, float]] = []
    modes: list[_Timed] = []
    begun: list[float] = []

    def begin(*_: object) -> None:
        if by_kind:
            modes.append(_Timed())
            modes[-1].__enter__()
        begun.append(time.thread_time())

    def end(*_: object) -> None:
        whole = 1000 * (time.thread_time() - begun.pop())
        if by_kind:
            modes[-1].__exit__(None, None, None)
        found.append(dict(modes[-1].milliseconds) if by_kind else {"all": whole})

    # Before and after all other hooks: what they cost is time of the step too.
    with transformer.register_forward_pre_hook(begin, prepend=True), transformer.register_forward_hook(end):
        run()
    return found


def _kind(name: str) -> str | None:
    if _VIEWS.fullmatch(name.partition(".")[0]):
        return None
    return next((kind for kind, parts in KINDS.items() if any(part in name for part in parts)), None)


if __name__ == "__main__":
    typer.run(main)
