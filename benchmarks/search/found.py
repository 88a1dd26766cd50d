"""What kept searches have found, as contestants on held-out captions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import partial
from typing import Any

from benchmarks.kept import Run
from benchmarks.search.beds import Bed, load_bed
from benchmarks.search.contestant import Contestant
from benchmarks.search.objective import mask_of
from benchmarks.search.protocol import SPEEDUPS, best_within
from benchmarks.search.whole_steps import computing_only
from ecad_automl.judging.evaluation import Evaluator
from ecad_automl.runtime import measure_drift
from ecad_automl.schedules.forecast import Forecasts
from ecad_automl.schedules.genomes import Genomes
from ecad_automl.schedules.layout import Layout

__all__ = ["METHOD", "chosen", "found_contestants", "name_of"]

METHOD = "found"
#: Images of the drift in searches, from which the weights of forecasts come.
_DRIFT_IMAGES = 16


def name_of(genome: str) -> str:
    """Short, for kept runs: several searches may have found the same."""
    return hashlib.sha256(genome.encode()).hexdigest()[:12]


def chosen(run: Run, full: float) -> dict[float, str]:
    """What stands for a search at each saving: the best reward in the search at equal or lower cost.

    Args:
        run: a kept search.
        full: GMACs of the uncached run.

    Returns:
        Genomes by saving, as far as there are any that cheap.
    """
    front = run.front()
    costs, rewards = [point.gmacs for point in front], [point.reward for point in front]
    found = {speedup: best_within(costs, rewards, full, speedup) for speedup in SPEEDUPS}
    return {speedup: front[index].genome for speedup, index in found.items() if index is not None}


def found_contestants(evaluator: Evaluator, layout: Layout, bed: Bed, genomes: Iterable[str]) -> dict[str, Contestant]:
    """By :func:`name_of`, what kept genomes stand for.

    Args:
        evaluator: of the captions that they are run on.
        layout: the slots.
        bed: where the drift is measured anew, on the images of searches, from which weights of forecasts come.
        genomes: as kept.
    """
    calibration, _ = load_bed(bed, split="calibration", captions=bed.captions, noises=bed.noises)
    steps = evaluator.settings.steps
    drift = measure_drift(calibration.pipe, lambda: calibration.generate_some(_DRIFT_IMAGES), steps=steps)
    known = {steps: Forecasts(drift, layout.component_index)}

    def drift_of(count: int) -> bytes:
        run = partial(calibration.evaluate_steps, count)
        calibration.baseline()
        return measure_drift(calibration.pipe, run, steps=count).to_bytes()

    texts = Genomes(layout, steps, load_other=drift_of, known=known)
    found = {}
    for genome in genomes:
        mask = mask_of(genome)
        if mask is not None:
            make, saved = partial(_extrapolated, evaluator, mask, bed.calls), steps / len(mask)
        else:
            schedule = texts.schedule(genome)
            make = partial(evaluator.generate, schedule, steps=schedule.steps)
            saved = 1 / schedule.mac_fraction_of(steps)
        found[name_of(genome)] = Contestant(METHOD, (__name__,), make, saved)
    return found


def _extrapolated(evaluator: Evaluator, mask: tuple[int, ...], calls: int) -> Any:
    with computing_only(evaluator.pipe, mask, steps=evaluator.settings.steps, calls=calls):
        return evaluator.generate(None)
