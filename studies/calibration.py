"""Before the search: the uncached run with its drift, the floor, and the fewer-steps runs to compare with."""

from __future__ import annotations

import math
from collections.abc import Callable

from ecad_automl.judging.evaluation import Evaluation, Evaluator
from ecad_automl.runtime import measure_drift
from ecad_automl.schedules.drift import Drift
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule
from storage import BaselineRecord, EvaluationRecord, Store
from studies.candidates import evaluation_record, measured
from studies.cost import LATENCY_MS, Cost
from studies.quality import Scale, worst_of_interest
from studies.seeds import ALL_REUSE, UNCACHED, all_reuse, fewer_steps

_DRIFT = "drift"
#: Images that the drift is averaged over: it varies little from image to image.
_DRIFT_IMAGES = 16


def calibrate(
    evaluator: Evaluator, layout: Layout, store: Store, study: str, cost: Cost, *, progress: Callable[[str], object]
) -> tuple[Drift, Scale]:
    """The drift of every slot, and the scale of rewards: measured, or read from the store, with all to compare with.

    The uncached images are always generated, since candidates are compared with them; everything else only once.
    """
    steps = evaluator.settings.steps
    progress("uncached images")
    uncached = evaluator.baseline()
    full = Schedule.all_compute(layout, steps)
    metric = evaluator.reward.name
    _keep(store, study, UNCACHED, full, uncached, metric, cost)
    baselines = store.baselines(study)
    if UNCACHED not in baselines:
        store.save_baseline(study, _baseline(UNCACHED, steps, layout, uncached, metric, cost))

    stored = store.calibration(study, _DRIFT)
    if stored is None:
        progress("drift of every slot")
        drift = measure_drift(evaluator.pipe, lambda: evaluator.generate_some(_DRIFT_IMAGES), steps=steps)
        store.save_calibration(study, _DRIFT, drift.to_bytes())
    else:
        drift = Drift.from_bytes(stored)
        drift.check_fits(layout)

    for count in fewer_steps(steps):
        name = f"{count} steps"
        if name not in baselines:
            progress(f"uncached run of {name}")
            run = evaluator.evaluate_steps(count)
            store.save_baseline(study, _baseline(name, count, layout, run, metric, cost))
    shorter = [record.reward for record in store.baselines(study).values()]
    floor = worst_of_interest(uncached.reward, shorter, -math.inf)
    if floor == -math.inf:
        schedule = all_reuse(layout, steps)
        record = store.evaluation(study, schedule.to_genome())
        if record is None:
            progress("cheapest schedule")
            record = _keep(store, study, ALL_REUSE, schedule, evaluator.evaluate(schedule), metric, cost)
        floor = record.reward
    return drift, Scale(uncached.reward, floor, cost.of_steps(steps))


def _keep(
    store: Store, study: str, origin: str, schedule: Schedule, evaluation: Evaluation, metric: str, cost: Cost
) -> EvaluationRecord:
    """Store a calibration run as an evaluation, so that its seed trial need not repeat it."""
    genome = schedule.to_genome()
    found = store.evaluation(study, genome)
    if found is None:
        found = evaluation_record(genome, origin, schedule, evaluation, metric, cost)
        store.save_evaluation(study, found)
    return found


def _baseline(name: str, steps: int, layout: Layout, evaluation: Evaluation, metric: str, cost: Cost) -> BaselineRecord:
    return BaselineRecord(
        name=name,
        steps=steps,
        gmacs=steps * layout.step_macs / 1e9,
        latency_ms=cost.of_steps(steps) if cost.name == LATENCY_MS else None,
        **measured(evaluation, metric),
    )
