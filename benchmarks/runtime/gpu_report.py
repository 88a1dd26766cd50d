"""What :mod:`benchmarks.runtime.gpu_speed` found, as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

#: Share of the speedup by MACs that should arrive as time, by the least number of images.
TARGETS = {16: 0.95, 1: 0.90}
SKIPS = 1.0
#: Largest difference of latents from the eager ones, over the largest latent: bfloat16 has 8 bits.
TOLERANCE = 0.05


def target(name: str, images: int) -> float:
    """What share of its MACs a schedule should save as time."""
    return SKIPS if name.startswith("skips") else next(share for least, share in TARGETS.items() if images >= least)


def rows(cell: Mapping[str, Any], steps: int) -> list[dict[str, Any]]:
    """What each schedule and cache of a cell has saved."""
    found = []
    for name, row in cell["rows"].items():
        uncached = np.array([(each["uncached 1"] + each["uncached 2"]) / 2 for each in cell["rounds"]])
        seconds = np.array([each[name] for each in cell["rounds"]])
        # Schedules of other step counts are compared with as many uncached steps.
        ratios = uncached * row["steps"] / steps / seconds
        low, middle, high = (float(q) for q in np.quantile(ratios, (0.25, 0.5, 0.75)))
        wanted = None if "beside" in row else target(name, cell["images"])
        found.append({"name": name, "macs": row["macs"], "time": middle, "quartiles": (low, high), "target": wanted})
    return found


def report(told: Mapping[str, Any]) -> str:
    """All cells, in Markdown."""
    parts = [f"Device: {told['device']}.", ""]
    if not told["published"]:
        parts += ["ECAD's published schedules were not given, and are not in here.", ""]
    for key, cell in told["cells"].items():
        parts += [f"### {key}", ""]
        if "failed" in cell:
            parts += [f"Failed: {cell['failed']}", ""]
            continue
        if not cell["rounds"]:
            continue
        parts += ["| | MACs saved | time saved (quartiles) | time / MACs | target |", "|---|---|---|---|---|"]
        for row in rows(cell, told["steps"]):
            low, high = row["quartiles"]
            share = row["time"] / row["macs"]
            met = "-" if row["target"] is None else f"{row['target']:.2f}, {_met(share, row['target'])}"
            parts.append(
                f"| {row['name']} | {row['macs']:.2f}x | {row['time']:.2f}x ({low:.2f} to {high:.2f}) | {share:.3f} | "
                f"{met} |"
            )
        if "compiled late" in cell:
            parts += [
                "",
                f"Compiled after the warm-up: {cell['compiled late']}; largest difference from eager latents: ",
            ]
            parts[-1] += f"{cell['largest difference']:.4f}."
        parts.append("")
    return "\n".join(parts)


def _met(share: float, wanted: float) -> str:
    return "met" if share >= wanted else "missed"


def wrong(told: Mapping[str, Any]) -> bool:
    """Whether compiled blocks gave other images than eager ones, or something was compiled after the warm-up."""
    # A difference that is not a number is wrong too.
    return any(
        cell.get("compiled late", 0) > 0 or not cell.get("largest difference", 0.0) <= TOLERANCE
        for cell in told["cells"].values()
    )
