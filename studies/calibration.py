"""Before the search: the uncached run with its drift, the floor, the fewer-steps runs, and the latency model."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from functools import partial

from ecad_automl.errors import StorageError
from ecad_automl.judging.evaluation import Evaluation, Evaluator
from ecad_automl.judging.machine import machine
from ecad_automl.latency.bench import device_name
from ecad_automl.latency.calibrate import calibrate_latency
from ecad_automl.latency.latency_model import LatencyModel
from ecad_automl.models import LoadedModel
from ecad_automl.models.memory import running_device
from ecad_automl.runtime import measure_drift
from ecad_automl.schedules.drift import Drift
from ecad_automl.schedules.genomes import write_genome
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule
from storage import DRIFT, BaselineRecord, EvaluationRecord, Store, drift_of
from studies.candidates import evaluation_record, measured
from studies.config import LatencySettings
from studies.cost import Cost
from studies.progress import SearchObserver, SearchStatus
from studies.quality import Scale, worst_of_interest
from studies.seeds import ALL_REUSE, UNCACHED, all_reuse, fewer_steps

#: Images that the drift is averaged over: it varies little from image to image.
_DRIFT_IMAGES = 16
#: And for runs of a number of steps of which nothing else is wanted: what is chosen by it is as good as by 16.
FEW_DRIFT_IMAGES = 4
_NAME = "latency"
#: Times of schedules are told in steps of this many: each may take long, but a line for each is too much.
_TELL_EVERY = 5


def calibrate(
    evaluator: Evaluator,
    layout: Layout,
    store: Store,
    study: str,
    cost: Cost,
    *,
    progress: Callable[[str], object],
    counts: Sequence[int] = (),
) -> tuple[dict[int, Drift], Scale]:
    """The drift of every slot, and the scale of rewards: measured, or read from the store, with all to compare with.

    The uncached images are always generated, since candidates are compared with them; everything else only once.

    Args:
        evaluator: generates and scores.
        layout: the slots.
        store: keeps what is found.
        study: under this name.
        cost: what is minimized.
        progress: is told what is done.
        counts: numbers of steps of shorter runs whose drift is wanted too, from their own images. Those that are made
            to compare with are evaluations like others; of the others a few images are made.

    Returns:
        The drift by number of steps, and the scale.
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

    stored = store.calibration(study, DRIFT)
    if stored is None:
        progress("drift of every slot")
        drift = measure_drift(evaluator.pipe, lambda: evaluator.generate_some(_DRIFT_IMAGES), steps=steps)
        store.save_calibration(study, DRIFT, drift.to_bytes())
    else:
        drift = Drift.from_bytes(stored)
        drift.check_fits(layout)

    drifts = {steps: drift}
    for count in fewer_steps(steps):
        name = f"{count} steps"
        kept = store.calibration(study, drift_of(count)) if count in counts else None
        if kept is not None:
            drifts[count] = Drift.from_bytes(kept)
        if name not in baselines or (count in counts and kept is None):
            progress(f"uncached run of {name}")
            runs: list[Evaluation] = []
            run = partial(_evaluate_steps, evaluator, count, runs)
            if count in counts:
                drifts[count] = measure_drift(evaluator.pipe, run, steps=count)
                _keep(store, study, name, Schedule.all_compute(layout, count), runs[0], metric, cost, steps)
                store.save_calibration(study, drift_of(count), drifts[count].to_bytes())
            else:
                run()
            if name not in baselines:
                store.save_baseline(study, _baseline(name, count, layout, runs[0], metric, cost))
    for count in sorted({*counts} - {*drifts}):
        kept = store.calibration(study, drift_of(count))
        if kept is None:
            progress(f"drift of {count} steps")
            run_some = partial(evaluator.generate_some, FEW_DRIFT_IMAGES, steps=count)
            drifts[count] = measure_drift(evaluator.pipe, run_some, steps=count)
            store.save_calibration(study, drift_of(count), drifts[count].to_bytes())
        else:
            drifts[count] = Drift.from_bytes(kept)
    shorter = [record.reward for record in store.baselines(study).values()]
    floor = worst_of_interest(uncached.reward, shorter, -math.inf)
    if floor == -math.inf:
        schedule = all_reuse(layout, steps)
        record = store.evaluation(study, schedule.to_genome())
        if record is None:
            progress("cheapest schedule")
            record = _keep(store, study, ALL_REUSE, schedule, evaluator.evaluate(schedule), metric, cost)
        floor = record.reward
    return drifts, Scale(uncached.reward, floor, cost.of_steps(steps))


def _evaluate_steps(evaluator: Evaluator, count: int, found: list[Evaluation]) -> None:
    found.append(evaluator.evaluate_steps(count))


def _keep(
    store: Store,
    study: str,
    origin: str,
    schedule: Schedule,
    evaluation: Evaluation,
    metric: str,
    cost: Cost,
    steps: int | None = None,
) -> EvaluationRecord:
    """Store a calibration run as an evaluation, so that its seed trial need not repeat it."""
    genome = write_genome(schedule, steps or schedule.steps)
    found = store.evaluation(study, genome)
    if found is None:
        found = evaluation_record(genome, origin, schedule, evaluation, metric, cost.latency_ms(cost.of(schedule)))
        store.save_evaluation(study, found)
    return found


def _baseline(name: str, steps: int, layout: Layout, evaluation: Evaluation, metric: str, cost: Cost) -> BaselineRecord:
    return BaselineRecord(
        name=name,
        steps=steps,
        gmacs=steps * layout.step_macs / 1e9,
        latency_ms=cost.latency_ms(cost.of_steps(steps)),
        **measured(evaluation, metric),
    )


def latency_model(
    model: LoadedModel,
    layout: Layout,
    settings: LatencySettings,
    store: Store,
    study: str,
    observer: SearchObserver,
    budget: int = 0,
) -> LatencyModel:
    """The model that the study holds; calibrated and kept where it holds none.

    Raises:
        StorageError: the stored model is damaged.
    """
    found = stored_latency_model(layout, store, study)
    if found is None:
        found = _calibrated(model, layout, settings, observer, budget)
        store.save_calibration(study, _NAME, json.dumps(found.to_dict()).encode())
    where = _named(found.about.get("device"), found.about.get("machine", {}))
    observer.message(
        f"Latency model: {found.samples} schedules timed on {where}, median error {found.error:.1%} on one left out."
    )
    here = _named(device_name(running_device(model.pipe)), machine())
    if here != where:
        observer.message(f"This is {here}; the study goes on with the latencies of {where}.")
    return found


def _calibrated(
    model: LoadedModel, layout: Layout, settings: LatencySettings, observer: SearchObserver, budget: int
) -> LatencyModel:
    def tell(done: int, count: int) -> None:
        if done % _TELL_EVERY == 0:
            observer.update(SearchStatus(0, budget, 0, text=f"timing random schedules, {done} of at most {count} done"))

    return calibrate_latency(model, settings.schedules, batch_size=settings.batch_size, layout=layout, progress=tell)


def stored_latency_model(layout: Layout, store: Store, study: str) -> LatencyModel | None:
    """The model that the study holds, or None.

    Raises:
        StorageError: it is damaged.
    """
    stored = store.calibration(study, _NAME)
    if stored is None:
        return None
    try:
        data = json.loads(stored)
    except ValueError as error:
        raise StorageError(f"The latency model of the study is damaged ({error}); start a new study.") from error
    return LatencyModel.from_dict(layout, data)


def _named(device: object, about: dict[str, object]) -> str:
    """The accelerator, or the processor where there is none."""
    return str(about.get("processor") or device) if device == "cpu" else str(device)
