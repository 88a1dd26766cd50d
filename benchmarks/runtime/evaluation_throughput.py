"""Images per second of an evaluation beside those of a bare loop over the pipeline, and coverage of its intervals.

The bare loop makes the same images of the bundled model and does nothing with them. Both take turns in one run, each
time on images that were not made before. The coverage is that of 95 % bootstrap intervals over prompts, simulated for
differences of which some are 0 and the others exponential, as drops of reward commonly are.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from benchmarks.machine import RESULTS, machine

METRICS = ("shapes", "fidelity", "psnr", "ssim", "latent-distance")


class _Silent:
    def update(self, done: int, total: int, text: str) -> None:
        pass

    def message(self, text: str) -> None:
        pass


def main(
    rounds: int = 5,
    prompts: Annotated[int, typer.Option(help="Images of a round.")] = 32,
    batch: int = 8,
    draws: Annotated[int, typer.Option(help="Simulated evaluations of each kind.")] = 400,
    results: Path = RESULTS,
) -> None:
    """Measure, and write the figures."""
    ratios, speeds = _throughput(rounds, prompts, batch)
    coverage = {
        f"{n} prompts, {share:.0%} with a drop": _coverage(n, share, draws) for n in (24, 96) for share in (1.0, 0.3)
    }
    summary = {
        "machine": machine(),
        "metrics": METRICS,
        "images per second, evaluation and bare loop": speeds,
        "evaluation / bare loop": [round(ratio, 3) for ratio in ratios],
        "coverage of 95 % intervals": coverage,
    }
    results.mkdir(parents=True, exist_ok=True)
    (results / "evaluation_throughput.json").write_text(json.dumps(summary, indent=2) + "\n")
    console = Console()
    console.print(
        f"evaluation / bare loop: {np.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})", highlight=False
    )
    console.print(coverage)


def _throughput(rounds: int, prompts: int, batch: int) -> tuple[list[float], list[tuple[float, float]]]:
    import torch

    from ecad_automl.judging.comparison import BatchSize, Sample, compare, load_judge
    from ecad_automl.judging.comparison.runner import TIMED
    from ecad_automl.models import load_model
    from ecad_automl.shapes.world import prompts as world_prompts
    from storage.scores import ScoreFile

    torch.set_num_threads(1)  # the other core scores
    model, judge = load_model("shapes", device="cpu"), load_judge(METRICS)
    model.pipe.set_progress_bar_config(disable=True)
    texts = world_prompts("held-out", prompts)
    ratios, speeds = [], []
    with tempfile.TemporaryDirectory() as folder, ScoreFile.open(Path(folder) / "scores.db", {}) as ledger:
        for _ in range(TIMED):  # a first evaluation times calls with nothing beside them; that is over here
            ledger.save_time("uncached", batch, 1.0, "")
        for number in range(-1, rounds):
            start = time.perf_counter()
            sample, progress = Sample(texts, (number + 1,)), _Silent()
            compare(model.pipe, model.settings, {}, sample, judge, ledger, batch=BatchSize(batch), observer=progress)
            middle = time.perf_counter()
            for first in range(0, prompts, batch):
                generators = [torch.Generator().manual_seed(number + 1) for _ in texts[first : first + batch]]
                call = model.settings.call_arguments()
                model.pipe(texts[first : first + batch], **call, generator=generators, output_type="pt")
            end = time.perf_counter()
            if number >= 0:  # one round warms up
                speeds.append((round(prompts / (middle - start), 3), round(prompts / (end - middle), 3)))
                ratios.append((end - middle) / (middle - start))
    return ratios, speeds


def _coverage(prompts: int, share: float, draws: int) -> float:
    from ecad_automl.judging.statistics import bootstrap_interval

    rng = np.random.default_rng(0)
    inside = 0
    for draw in range(draws):
        drops = rng.exponential(size=prompts) * (rng.random(prompts) < share)
        found = bootstrap_interval(drops, resamples=1999, seed=draw)
        inside += found.low <= share <= found.high
    return inside / draws


if __name__ == "__main__":
    typer.run(main)
