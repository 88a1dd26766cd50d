"""The front of ``ecad-automl quick`` as contestants: nothing of it was evaluated before."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from benchmarks.search.beds import Bed, load_bed
from benchmarks.search.contestant import Contestant
from benchmarks.search.protocol import SPEEDUPS, TOLERANCE
from ecad_automl.judging.evaluation import Evaluator
from ecad_automl.runtime import measure_drift
from ecad_automl.schedules.forecast import Forecasts
from ecad_automl.schedules.guidance_errors import guidance_errors
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule
from studies.forecast_seeds import ForecastSeeds, quick_schedules

__all__ = ["IMAGES", "at_savings", "quick_contestants"]

#: Images of which the front is made.
IMAGES = 8


def quick_contestants(evaluator: Evaluator, layout: Layout, bed: Bed) -> dict[str, Contestant]:
    """By name, that schedule of the front which saves as much as is wanted and least more.

    Args:
        evaluator: of the captions that they are run on.
        layout: the slots.
        bed: where the front is made, on captions of searches.
    """
    calibration, _ = load_bed(bed, split="calibration", captions=IMAGES, noises=(0,))
    steps = evaluator.settings.steps
    drift = measure_drift(calibration.pipe, lambda: calibration.generate_some(IMAGES), steps=steps)
    forecasts = Forecasts(drift, layout.component_index)
    guidance = guidance_errors(forecasts, evaluator.settings.classifier_free_guidance)
    front = quick_schedules(ForecastSeeds(forecasts, layout, guidance), layout)
    found = {}
    for best in at_savings([each for each, _ in front]):
        name = f"quick, {int((~best.skip).sum())}"
        if not best.guidance.is_full:
            name += f", {int(best.guidance.both.sum())} guided"
        found[name] = Contestant("quick", (__name__,), partial(evaluator.generate, best), best.mac_speedup)
    return found


def at_savings(front: Sequence[Schedule]) -> list[Schedule]:
    """Of a front from dear to cheap, for each saving the first that saves as much."""
    return [next(each for each in front if each.mac_speedup >= speedup * (1 - TOLERANCE)) for speedup in SPEEDUPS]
