"""What becomes of images where steps that reuse all slots are skipped: FORA as it is and with skips, bundled models.

Both are compared with the uncached images of the same noise, and with each other, on held-out captions.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import typer
from rich.console import Console

from benchmarks.code import made_by
from benchmarks.machine import RESULTS, machine

INTERVALS = (2, 3, 5)


def main(prompts: int = 48, batch_size: int = 8, out: Path = RESULTS / "skipped_steps.json") -> None:
    """Measure and write."""
    rows = [row for model in ("shapes", "flow-shapes") for row in _measured(model, prompts, batch_size)]
    about = {"machine": machine(), **made_by(("benchmarks.runtime.skipped_steps",)), "prompts": prompts, "seeds": [0]}
    out.write_text(json.dumps({**about, "rows": rows}, indent=2) + "\n")
    Console().print(table(rows), highlight=False, soft_wrap=True)


def _measured(name: str, prompts: int, batch_size: int) -> list[dict[str, Any]]:
    import torch

    from ecad_automl.bundled import BUNDLED
    from ecad_automl.judging.evaluation import Evaluator
    from ecad_automl.judging.statistics import bootstrap_interval
    from ecad_automl.models import load_model
    from ecad_automl.models.loading import model_layout
    from ecad_automl.rewards import load_reward
    from ecad_automl.schedules.heuristics import fora
    from ecad_automl.schedules.skips import with_skips

    model = load_model(name, device="cpu")
    texts = BUNDLED[name].prompts("held-out", prompts)
    evaluator = Evaluator(model.pipe, texts, [0], load_reward("fidelity"), model.settings, batch_size=batch_size)

    def psnr(one: torch.Tensor, other: torch.Tensor) -> list[float]:
        """In dB, of each image."""
        found: list[float] = (-10 * (one - other).square().mean(dim=(1, 2, 3)).clamp_min(1e-10).log10()).tolist()
        return found

    rows = []
    for interval in INTERVALS:
        schedule = fora(model_layout(model), model.settings.steps, interval)
        skipping = with_skips(schedule)
        reused, skipped = evaluator.generate(schedule), evaluator.generate(skipping)
        to_uncached = [psnr(images, evaluator.reference_images) for images in (reused, skipped)]
        change = bootstrap_interval(np.subtract(*reversed(to_uncached)))
        rows.append(
            {
                "model": name,
                "schedule": f"fora-{interval}",
                "mac_speedup": {"reused": schedule.mac_speedup, "skipped": skipping.mac_speedup},
                "psnr to uncached": {
                    kind: sum(values) / len(values)
                    for kind, values in zip(("reused", "skipped"), to_uncached, strict=True)
                },
                "change of psnr": {"mean": change.mean, "low": change.low, "high": change.high},
                "psnr of skipped to reused": sum(between := psnr(skipped, reused)) / len(between),
            }
        )
    return rows


def table(rows: Iterable[Mapping[str, Any]]) -> str:
    """As Markdown."""
    lines = [
        "| model | schedule | fewer MACs | PSNR to uncached | change | PSNR of one to the other |",
        "|---" * 6 + "|",
    ]
    for row in rows:
        macs, uncached, change = row["mac_speedup"], row["psnr to uncached"], row["change of psnr"]
        lines.append(
            f"| `{row['model']}` | `{row['schedule']}` | {macs['reused']:.2f}x, {macs['skipped']:.2f}x | "
            f"{uncached['reused']:.1f}, {uncached['skipped']:.1f} dB | "
            f"{change['mean']:+.1f} [{change['low']:+.1f}, {change['high']:+.1f}] | "
            f"{row['psnr of skipped to reused']:.1f} dB |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    typer.run(main)
