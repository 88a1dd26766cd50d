"""Whether compiled blocks give the right images on a GPU, compile nothing twice, and what time they save.

A small pipeline of random weights runs under random schedules: eager, and in the modes of ``torch.compile``. In each
mode, every schedule is run three times, since CUDA graphs are compiled in the first, captured in the second and
replayed in the third; the third is timed. Where anything is wrong, the exit status is 1; without CUDA it is 2.

    python -m benchmarks.runtime.check_compile_gpu --model pixart-384
"""

from __future__ import annotations

import time
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from torch._dynamo.utils import counters

from benchmarks.runtime.random_models import MODELS
from benchmarks.runtime.transformer_speed import STEPS, random_schedules
from ecad_automl.runtime import CompileMode, ScheduleHandle, apply_schedule

MODES: tuple[CompileMode | None, ...] = (None, "default", "reduce-overhead")
#: Largest difference of latents from the eager ones, over the largest latent: bfloat16 has 8 bits.
TOLERANCE = 0.05
RUNS = 3


def main(
    model: Annotated[str, typer.Option(help=f"One of {', '.join(MODELS)}.")] = "pixart-384",
    schedules: Annotated[int, typer.Option(help="How many.")] = 3,
    images: Annotated[int, typer.Option(help="Images a run.")] = 1,
) -> None:
    """Check compiled blocks on a GPU."""
    console = Console(highlight=False)
    if not torch.cuda.is_available():
        console.print("There is no CUDA device here, so nothing was checked; run this on a machine that has one.")
        raise typer.Exit(2)
    torch.manual_seed(0)
    subject = MODELS[model]("cuda")
    subject.pipe.set_progress_bar_config(disable=True)
    inputs = subject.inputs(images)

    def run() -> tuple[torch.Tensor, float]:
        torch.cuda.synchronize()
        start = time.perf_counter()
        generator = torch.Generator().manual_seed(0)
        output = subject.pipe(**inputs, num_inference_steps=STEPS, generator=generator, output_type="latent")
        torch.cuda.synchronize()
        return output.images.float(), time.perf_counter() - start

    wrong = False
    expected: dict[str, torch.Tensor] = {}
    for mode in MODES:
        handle: ScheduleHandle | None = None
        for name, schedule in random_schedules(subject.layout, schedules).items():
            options: dict[str, Any] = {} if mode is None else {"compile": mode}
            handle = handle.switch(schedule) if handle else apply_schedule(subject.pipe, schedule, **options)
            with handle:
                found, _ = run()
                compiled = _compiled()
                for _ in range(RUNS - 1):
                    again, seconds = run()
            close = _distance(found, expected.setdefault(name, found)) <= TOLERANCE
            close = close and _distance(again, expected[name]) <= TOLERANCE
            twice = _compiled() - compiled
            wrong = wrong or not close or twice > 0
            console.print(
                f"{mode or 'eager'}, {name}: {seconds * 1000:.1f} ms, "
                f"images {'equal' if close else 'DIFFER'}, {twice} compiled after the first run"
            )
    raise typer.Exit(int(wrong))


def _compiled() -> int:
    return int(counters["stats"]["unique_graphs"])


def _distance(one: torch.Tensor, other: torch.Tensor) -> float:
    """The largest difference over the largest value; not a number where any value is none."""
    return float((one - other).abs().max() / other.abs().max())


if __name__ == "__main__":
    typer.run(main)
