"""The front of ``ecad-automl quick`` as contestants: nothing of it was evaluated before."""

from __future__ import annotations

from functools import partial

from benchmarks.search.beds import Bed, load_bed
from benchmarks.search.contestant import Contestant
from benchmarks.search.protocol import SPEEDUPS, TOLERANCE
from ecad_automl.judging.evaluation import Evaluator
from ecad_automl.runtime import measure_drift
from ecad_automl.schedules.forecast import Forecasts
from ecad_automl.schedules.layout import Layout
from studies.forecast_seeds import ForecastSeeds, quick_schedules

__all__ = ["quick_contestants"]

#: Images of which the front is made.
_IMAGES = 8


def quick_contestants(evaluator: Evaluator, layout: Layout, bed: Bed) -> dict[str, Contestant]:
    """By name, that schedule of the front which saves as much as is wanted and least more.

    Args:
        evaluator: of the captions that they are run on.
        layout: the slots.
        bed: where the front is made, on captions of searches.
    """
    calibration, _ = load_bed(bed, split="calibration", captions=_IMAGES, noises=(0,))
    steps = evaluator.settings.steps
    drift = measure_drift(calibration.pipe, lambda: calibration.generate_some(_IMAGES), steps=steps)
    front = quick_schedules(ForecastSeeds(Forecasts(drift, layout.component_index), layout), layout)
    found = {}
    for speedup in SPEEDUPS:
        best = next(each for each, _ in front if each.mac_speedup >= speedup * (1 - TOLERANCE))
        name = f"quick, {int((~best.skip).sum())}"
        found[name] = Contestant("quick", (__name__,), partial(evaluator.generate, best), best.mac_speedup)
    return found
