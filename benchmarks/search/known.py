"""Contestants that are published and need no search: fewer steps, FORA, DPCache with its predictor and with reuse."""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks.search.beds import Bed, load_bed
from benchmarks.search.contestant import Contestant
from benchmarks.search.outputs import output_products
from benchmarks.search.protocol import SPEEDUPS
from benchmarks.search.whole_steps import (
    computing_only,
    distances,
    predicted_paths,
    shortest_paths,
    step_schedule,
)
from ecad_automl.judging.evaluation import Evaluator
from ecad_automl.schedules.heuristics import fora
from ecad_automl.schedules.layout import Layout

__all__ = ["known_contestants"]

#: Images of which DPCache is calibrated.
_CALIBRATION = 16


def known_contestants(evaluator: Evaluator, layout: Layout, bed: Bed) -> dict[str, Contestant]:
    """By name, the setting of each that saves as much as is wanted and least more, and the uncached run.

    Args:
        evaluator: of the captions that they are run on.
        layout: the slots.
        bed: where they are calibrated, on captions of searches.
    """
    steps = evaluator.settings.steps
    calibration, _ = load_bed(bed, split="calibration", captions=_CALIBRATION, noises=(0,))
    products = output_products(calibration, bed.calls)
    reused = shortest_paths(distances(products))
    predicted = predicted_paths(products)
    found = {"uncached": Contestant("uncached", (), lambda: evaluator.reference_images, 1.0)}

    def add(name: str, method: str, saved: float, make: Any) -> None:
        found.setdefault(name, Contestant(method, (__name__,), make, saved))

    for speedup in SPEEDUPS:
        count = int(steps / speedup)
        add(f"{count} steps", "steps", steps / count, partial(evaluator.generate, None, steps=count))
        interval = next(n for n in range(1, steps + 1) if fora(layout, steps, n).mac_speedup >= speedup)
        schedule = fora(layout, steps, interval)
        add(f"FORA {interval}", "FORA", schedule.mac_speedup, partial(evaluator.generate, schedule))
        schedules = [step_schedule(layout, steps, mask) for mask in reused]
        best = max((each for each in schedules if each.mac_speedup >= speedup), key=lambda each: each.macs)
        computed = int(best.effective.all(axis=1).sum())
        name = f"DPCache, reuse, {computed}"
        add(name, "DPCache, reuse", best.mac_speedup, partial(evaluator.generate, best))
        mask = predicted[count - 1]

        def predict(mask: tuple[int, ...] = mask) -> Any:
            with computing_only(evaluator.pipe, mask, steps=steps, calls=bed.calls):
                return evaluator.generate(None)

        add(f"DPCache, {count}", "DPCache", steps / count, predict)
    return found
