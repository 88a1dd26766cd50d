"""Whether workers on one machine share the memory of a model's weights, on a CPU."""

from __future__ import annotations

import json
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import psutil
import torch
import transformers
import typer
from rich.console import Console
from transformers import T5Config, T5EncoderModel

from benchmarks.machine import RESULTS, machine
from ecad_automl.execution import Execution, Task, WorkerSetup
from ecad_automl.models import load_model, model_layout
from ecad_automl.schedules.schedule import Schedule
from tests.tiny_models import TINY_PIPELINES, tiny_pixart_transformer

EXECUTORS = ("processes", "ray")
#: The type that weights are loaded in; files hold float32.
DTYPES = ("float32", "bfloat16")
STEPS = 2
_MB = 1e6


def main(results: Path = RESULTS) -> None:
    """Measure one and two workers of each kind, and write the table.

    Args:
        results: where the table goes.
    """
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    rows = []
    with tempfile.TemporaryDirectory() as folder, Console().status("Making models ...") as status:
        small, large = (_made(Path(folder) / name, large=name == "large") for name in ("small", "large"))
        for executor in EXECUTORS:
            for dtype in DTYPES:
                for workers in (1, 2):
                    status.update(f"{workers} workers of {executor} in {dtype} ...")
                    base, found = (_measured(model, executor, workers, dtype) for model in (small, large))
                    weights = _size(large) * (1 if dtype == "float32" else 0.5)
                    rows.append(
                        {
                            "executor": executor,
                            "dtype": dtype,
                            "workers": workers,
                            "weights_mb": round(weights / _MB),
                            "mapped_mb": round(found["mapped"] / workers / _MB),
                            "weights_in_memory_mb": round((found["pss"] - base["pss"]) / _MB),
                            "worker_without_weights_mb": round(base["private"] / workers / _MB),
                        }
                    )
    document = {"machine": machine(), "rows": rows}
    (results / "worker_memory.json").write_text(json.dumps(document, indent=2) + "\n")
    lines = [
        "| executor | loaded as | workers | weights (MB) | mapped by a worker (MB) | memory of all (MB) |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['executor']} | {row['dtype']} | {row['workers']} | {row['weights_mb']} | {row['mapped_mb']} | "
        f"{row['weights_in_memory_mb']} |"
        for row in rows
    ]
    base_mb = [row["worker_without_weights_mb"] for row in rows]
    note = (
        "A PixArt transformer and a T5 text encoder of random float32 weights, after an evaluation, by `python -m "
        "benchmarks.system.worker_memory`. Memory of all: proportional set size beyond that of the same workers with a "
        f"tiny model, which have {min(base_mb)} to {max(base_mb)} MB of their own each."
    )
    (results / "worker_memory.md").write_text("\n".join([note, "", *lines]) + "\n")
    print("\n".join(lines))


def _made(folder: Path, *, large: bool) -> Path:
    """A pipeline on disk."""
    torch.manual_seed(0)
    pipe = TINY_PIPELINES["pixart"]()
    if large:
        width = pipe.text_encoder.config.d_model
        pipe.transformer = tiny_pixart_transformer(
            num_attention_heads=16, attention_head_dim=64, num_layers=3, cross_attention_dim=1024
        )
        vocabulary = pipe.text_encoder.config.vocab_size
        config = T5Config(vocab_size=vocabulary, d_model=width, d_ff=2**20, d_kv=64, num_heads=1, num_layers=2)
        pipe.text_encoder = T5EncoderModel(config)
    pipe.save_pretrained(folder)
    return folder


def _size(model: Path) -> int:
    return sum(path.stat().st_size for path in model.glob("*/*.safetensors"))


def _measured(model: Path, executor: Any, workers: int, dtype: str) -> dict[str, float]:
    """Bytes of all workers together once each has evaluated: mapped from weights, proportional, private."""
    loaded = load_model(str(model), dtype=dtype, device="cpu").with_settings(steps=STEPS)
    schedule = Schedule.all_compute(model_layout(loaded), STEPS)
    setup = WorkerSetup(str(model), ["a square", "a circle"], [0], "fidelity", [], loaded.settings, 1, dtype=dtype)
    del loaded  # the search itself keeps it, and shares it as a worker does
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    with closing(Execution(executor, workers).start(replace(setup, device="cpu"))) as fleet:
        done, number = set[str](), 0
        while len(done) < workers:
            for _ in range(workers):
                fleet.submit(Task(number := number + 1, schedule, (0,)))
            for _ in range(workers):
                for outcome in fleet.wait():
                    assert outcome.failure is None, outcome.failure
                    done.add(outcome.worker)
        started = [one for one in psutil.Process().children(recursive=True) if one.pid not in before]
        return _memory([one for one in started if _is_worker(one)], workers)


def _is_worker(process: psutil.Process) -> bool:
    command = " ".join(process.cmdline())
    return "spawn_main" in command or command.startswith("ray::_Actor")


def _memory(processes: list[psutil.Process], workers: int) -> dict[str, float]:
    assert len(processes) == workers, processes
    maps = [area for process in processes for area in process.memory_maps(grouped=True)]
    return {
        "mapped": sum(area.rss for area in maps if area.path.endswith(".safetensors")),
        "pss": sum(area.pss for area in maps),
        "private": sum(area.private_clean + area.private_dirty for area in maps),
    }


if __name__ == "__main__":
    typer.run(main)
