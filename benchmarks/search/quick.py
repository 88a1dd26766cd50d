"""The front of ``ecad-automl quick`` as contestants: nothing of it was scored before."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import ecad_automl
from benchmarks.search.beds import Bed, model_of
from benchmarks.search.contestant import Contestant
from benchmarks.search.protocol import SPEEDUPS, TOLERANCE
from ecad_automl.bundled import BUNDLED
from ecad_automl.judging.evaluation import Evaluator
from ecad_automl.schedules.schedule import Schedule

__all__ = ["IMAGES", "at_savings", "quick_contestants"]

#: Images of which the front is made.
IMAGES = 8


def quick_contestants(evaluator: Evaluator, bed: Bed) -> dict[str, Contestant]:
    """By name, that schedule of the front which saves as much as is wanted and least more.

    Args:
        evaluator: of the captions that they are run on.
        bed: where the front is made, on captions of searches.
    """
    texts = BUNDLED[bed.model].prompts("calibration", IMAGES)
    front = [point.schedule for point in ecad_automl.quick(model_of(bed), texts, images=IMAGES)]
    found = {}
    found = {}
    for best in at_savings(front):
        name = f"quick, {int((~best.skip).sum())}"
        if not best.guidance.is_full:
            name += f", {int(best.guidance.both.sum())} guided"
        found[name] = Contestant("quick", (__name__,), partial(evaluator.generate, best), best.mac_speedup)
    return found


def at_savings(front: Sequence[Schedule]) -> list[Schedule]:
    """Of a front from dear to cheap, for each saving the first that saves as much."""
    return [next(each for each in front if each.mac_speedup >= speedup * (1 - TOLERANCE)) for speedup in SPEEDUPS]
