"""Scoring the front of a study again, on prompts and seeds that the search never saw."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from optuna.storages import BaseStorage
from optuna.study import get_all_study_names

from ecad_automl.errors import StorageError, StudyError
from ecad_automl.judging.comparison import ComparisonObserver
from ecad_automl.judging.evaluation import Evaluator
from ecad_automl.judging.threads import enough_threads
from ecad_automl.models import LoadedModel, model_layout
from ecad_automl.prompts.checking import check_prompts
from ecad_automl.rewards import PairedReward, Reward
from ecad_automl.schedules.genomes import write_genome
from ecad_automl.schedules.heuristics import fora
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule
from storage import (
    ConfirmationRecord,
    Store,
    optuna_storage,
    storage_faults,
    writer_lock,
)
from storage.identity import described, differences
from storage.records import now
from studies.calibration import stored_latency_model
from studies.confirmation._stored import (
    Confirmation,
    check_unseen,
    front_to_confirm,
    load_confirmation,
    sample_key,
    uncached_genome,
)
from studies.cost import Cost, latency_cost, mac_cost
from studies.interrupt import uninterrupted
from studies.job import SearchJob, as_stored, study_identity
from studies.seeds import UNCACHED

#: The attribute of the Optuna study that holds what was confirmed: those of finished trials cannot be written.
CONFIRMATION = "confirmation"

#: FORA's intervals that every front is compared with.
_FORA = (2, 3, 5)
#: A shorter run than this is refused by some pipelines.
_FEWEST_STEPS = 2
#: Scores of one image differ by rounding between machines; more than this share of the spread is something else.
_SAME = 0.01


@dataclass(frozen=True)
class ConfirmationJob:
    """What to confirm, and on what.

    Args:
        storage: path or URL of the study database.
        study: name of the study in it.
        prompts: at least two that the search did not use.
        seeds: noise seeds that the search did not use; each prompt gets one image per seed.
        baselines: whether FORA and runs of fewer steps are scored beside the front.
        batch_size: images per pipeline call.
        same_steps: whether it is the front among runs of the study's own number of steps.
    """

    storage: str | Path
    study: str
    prompts: Sequence[str]
    seeds: Sequence[int]
    baselines: bool = True
    batch_size: int = 8
    same_steps: bool = False

    @property
    def sample(self) -> str:
        """What the scores are kept under."""
        return sample_key(self.prompts, self.seeds)


class Planned(NamedTuple):
    """A run to score: its row so far, and its schedule, which is None for an uncached run."""

    row: ConfirmationRecord
    schedule: Schedule | None = None


def pending_runs(job: ConfirmationJob) -> list[Planned]:
    """What :func:`run_confirmation` would score; empty where all is scored.

    Raises:
        StudyError: there is no such study, or it has no front yet.
        PromptError, EvaluationError: the prompts or seeds cannot confirm anything; see
            :func:`~studies.confirmation._stored.check_unseen`.
        StorageError: the file cannot be read.
    """
    with Store.open(job.storage, read_only=True) as store:
        return _pending(_plan(job, store), store, job)


def run_confirmation(
    job: ConfirmationJob, model: LoadedModel, reward: Reward | PairedReward, observer: ComparisonObserver
) -> Confirmation:
    """Score every schedule of the front, and what it is compared with, that was not scored on these prompts before.

    Each run is stored as soon as it is scored; whatever ends this, the same call goes on with the next one. The
    uncached images are made again by each call that has something to score, since images are compared with them.

    Raises:
        StudyError: model, settings or reward are not those of the study; see also :func:`pending_runs`.
    """
    check_prompts(job.prompts)
    with (
        writer_lock(job.storage, job.study) as lock,
        Store.open(job.storage, lock=lock) as store,
        storage_faults(job.storage),
    ):
        planned = _plan(job, store)
        pending = _pending(planned, store, job)
        if pending:
            _check_same(job, store, model, reward)
            # For whoever asks later what these prompts were.
            texts = json.dumps({"prompts": list(job.prompts), "seeds": list(job.seeds)})
            store.save_calibration(job.study, f"confirmation {job.sample}", texts.encode())
            evaluator = Evaluator(
                model.pipe,
                job.prompts,
                job.seeds,
                reward,
                model.settings,
                batch_size=job.batch_size,
                calls=model.calls,
            )
            with enough_threads(evaluator, store.genomes(job.study).layout.step_macs, observer.message):
                _score(job, store, evaluator, pending, len(planned), observer)
        with uninterrupted(), optuna_storage(job.storage) as trials:
            found = load_confirmation(store, job.study, job.sample)
            assert found is not None
            _tell_optuna(trials, store, job.study, found)
    return found


def _score(
    job: ConfirmationJob,
    store: Store,
    evaluator: Evaluator,
    pending: Sequence[Planned],
    total: int,
    observer: ComparisonObserver,
) -> None:
    done = total - len(pending)
    observer.update(done, total, "uncached images")
    _check_images(job, store, evaluator, observer)
    for number, planned in enumerate(pending, start=done):
        row, schedule = planned
        observer.update(number, total, row.origin)
        if schedule is not None:
            evaluation = evaluator.evaluate(schedule)
        elif row.origin == UNCACHED:
            evaluation = evaluator.baseline()
        else:
            evaluation = evaluator.evaluate_steps(row.steps)
        scores = {evaluator.reward.name: evaluation.scores.ravel().astype(np.float32)}
        with uninterrupted():
            store.save_confirmation(job.study, replace(row, scores=scores, seconds=evaluation.seconds, created=now()))
    observer.update(total, total, "done")


def _plan(job: ConfirmationJob, store: Store) -> list[Planned]:
    """The uncached run first, since all others are compared with it; the front; what it is compared with."""
    identity = store.identity(job.study)
    if identity is None:
        raise StudyError(f"{job.storage} holds no study {job.study!r}; see its name with `ecad-automl front`.")
    check_unseen(job.prompts, job.seeds, identity)
    front = front_to_confirm(store, job.study, identity, job.same_steps)
    if not front:
        raise StudyError(f"The study {job.study!r} has no front to confirm yet; run `ecad-automl search` first.")
    genomes = store.genomes(job.study)
    layout, steps = genomes.layout, genomes.steps
    cost = _study_cost(layout, store, job.study, identity)

    def row(run: str, origin: str, count: int, gmacs: float, price: float) -> ConfirmationRecord:
        size = len(job.prompts), len(job.seeds)
        return ConfirmationRecord(job.sample, run, origin, count, *size, gmacs, latency_ms=cost.latency_ms(price))

    def of_steps(name: str, run: str, count: int) -> Planned:
        return Planned(row(run, name, count, count * layout.step_macs / 1e9, cost.of_steps(count)))

    def scheduled(origin: str, schedule: Schedule) -> Planned:
        price = cost.of(schedule)
        genome = write_genome(schedule, steps)
        return Planned(row(genome, origin, schedule.steps, schedule.gmacs, price), schedule)

    planned = [of_steps(UNCACHED, uncached_genome(identity), steps)]
    planned += [scheduled(record.origin, genomes.schedule(record.genome)) for record in front]
    if job.baselines:
        planned += [scheduled(f"fora-{n}", fora(layout, steps, n)) for n in _FORA if n < steps]
    if job.baselines and not job.same_steps:
        costs = [cost.of(item.schedule) for item in planned if item.schedule is not None]
        planned += [of_steps(f"{n} steps", f"{n} steps", n) for n in _as_cheap(costs, cost, steps)]
    distinct: dict[str, Planned] = {}
    for item in planned:
        distinct.setdefault(item.row.run, item)
    return list(distinct.values())


def _as_cheap(costs: Sequence[float], cost: Cost, steps: int) -> list[int]:
    """For each cost the most steps that an uncached run can have at no more; distinct, rising."""
    counts = np.arange(_FEWEST_STEPS, steps)
    prices = np.array([cost.of_steps(int(count)) for count in counts])
    # A run of exactly the same cost must not be lost to rounding.
    found = {int(counts[affordable][-1]) for one in costs if (affordable := prices <= one * (1 + 1e-9)).any()}
    return sorted(found)


def _pending(planned: Sequence[Planned], store: Store, job: ConfirmationJob) -> list[Planned]:
    known = {record.run for record in store.confirmations(job.study) if record.sample == job.sample}
    return [item for item in planned if item.row.run not in known]


def _study_cost(layout: Layout, store: Store, study: str, identity: Mapping[str, Any]) -> Cost:
    if "cost" not in identity:
        return mac_cost(layout)
    model = stored_latency_model(layout, store, study)
    if model is None:
        raise StorageError(f"The study {study!r} minimizes latency but holds no model of it; restore the file.")
    return latency_cost(model, int(identity["cost"]["batch_size"]))


def _check_same(job: ConfirmationJob, store: Store, model: LoadedModel, reward: Reward | PairedReward) -> None:
    """Another model, or the same called in another way, would confirm something else."""
    stored = store.identity(job.study) or {}
    searched = SearchJob(model, stored["prompts"], reward, job.storage, job.study, stored["seeds"])
    given = as_stored(study_identity(searched, model_layout(model)), stored)
    # A folder may have been moved; what is in it is told by its revision. The others change no score.
    same = ("model", "cost", "constraints", "use", "step_counts", "guidance", "deploy", "fit", "calls")
    found = differences(*({k: v for k, v in one.items() if k not in same} for one in (stored, given)))
    if found:
        raise StudyError(
            f"The study {job.study!r} was searched with something else than what would confirm it: "
            f"{described(found)}; load what it was searched with."
        )


def _check_images(job: ConfirmationJob, store: Store, evaluator: Evaluator, observer: ComparisonObserver) -> None:
    """Whether this machine makes the uncached images of an earlier run again: differences are paired with them."""
    uncached = uncached_genome(store.identity(job.study) or {})
    for record in store.confirmations(job.study):
        if record.sample == job.sample and record.run == uncached:
            before = record.scores[evaluator.reward.name]
            now = evaluator.baseline().scores.ravel()
            if np.abs(now - before).max() > _SAME * max(float(before.std()), 1e-6):
                observer.message(
                    "The uncached images score otherwise than when this confirmation was begun, so runs scored from "
                    "here on are compared less exactly; finish it on the device, and with the batch size, it was "
                    "begun with, or confirm with other seeds."
                )


def _tell_optuna(storage: BaseStorage, store: Store, name: str, found: Confirmation) -> None:
    """Write the figures into an attribute of the Optuna study, where the dashboard shows them, by trial number."""
    if name not in get_all_study_names(storage):
        return
    trials: dict[str, dict[str, Any]] = {}
    for record in store.evaluations(name, scores=False):
        verdict = found.verdicts.of(record.genome)
        if verdict is not None and verdict.run.chosen and record.trial is not None:
            trials[str(record.trial)] = {
                "confirmed_reward": verdict.reward,
                "confirmed_drop": 0.0 - verdict.difference.mean,
                "confirmed_drop_low": 0.0 - verdict.difference.high,
                "confirmed_drop_high": 0.0 - verdict.difference.low,
                "survives": verdict.survives,
            }
    verdicts = found.verdicts
    figures = {"prompts": verdicts.prompts, "seeds": verdicts.seeds, "trials": trials}
    storage.set_study_user_attr(storage.get_study_id_from_name(name), CONFIRMATION, figures)
