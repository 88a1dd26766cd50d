"""Confirmations in the study database: what was scored on unseen prompts, and what it says of the front.

Imports neither torch nor Optuna.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecad_automl.errors import EvaluationError, PromptError, StorageError
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule
from storage import ConfirmationRecord, EvaluationRecord, Store
from studies.confirmation._verdicts import Run, Verdicts, judge
from studies.cost import study_cost, study_front

_SEARCHED = "uncached"


@dataclass(frozen=True, eq=False)
class Confirmation:
    """A front, or the part of one that was scored so far, on unseen prompts.

    Args:
        sample: stands for the prompts and seeds, see :func:`sample_key`.
        uncached: key of the uncached run.
        verdicts: on every run that was scored, by its genome or, for runs of fewer steps, name.
        missing: schedules of the front that were not scored yet.
        created: when the last run was scored, ISO 8601.
    """

    sample: str
    uncached: str
    verdicts: Verdicts
    missing: int
    created: str


def sample_key(prompts: Sequence[str], seeds: Sequence[int]) -> str:
    """A short hash of prompts and seeds in their order."""
    text = json.dumps([list(prompts), list(seeds)])
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def check_unseen(prompts: Sequence[str], seeds: Sequence[int], identity: Mapping[str, Any]) -> None:
    """Whether the search saw none of the prompts and seeds; capitals and spaces make no difference.

    Raises:
        PromptError: it saw a prompt; the message names the first.
        EvaluationError: it saw a seed, there are fewer than two prompts, or no seeds.
    """
    seen = {_plain(prompt) for prompt in identity["prompts"]}
    for prompt in prompts:
        if _plain(prompt) in seen:
            raise PromptError(
                f"The prompt {prompt!r} was searched with, so it cannot confirm what the search found; give prompts "
                "that the search did not use."
            )
    if len(prompts) < 2:
        raise EvaluationError(
            f"There is {len(prompts)} prompt to confirm on; an interval over prompts needs at least 2."
        )
    for seed in seeds:
        if seed in identity["seeds"]:
            raise EvaluationError(f"The seed {seed} was searched with; choose one that the search did not use.")


def uncached_genome(identity: Mapping[str, Any]) -> str:
    """The bits of the schedule that caches nothing, under which the uncached run is kept."""
    layout = Layout.from_dict(identity["layout"])
    return Schedule.all_compute(layout, int(identity["generation"]["steps"])).to_genome()


def front_to_confirm(store: Store, study: str, identity: Mapping[str, Any], same_steps: bool) -> list[EvaluationRecord]:
    """The front of the search, the cheapest first, or that among runs of the study's own number of steps."""
    evaluations = store.evaluations(study, scores=False)
    if same_steps:
        genomes = store.genomes(study)
        evaluations = [record for record in evaluations if genomes.steps_of(record.genome) == genomes.steps]
    return study_front(evaluations, identity)


def load_confirmation(
    store: Store, study: str, sample: str | None = None, same_steps: bool = False
) -> Confirmation | None:
    """What is known of the front of a study on unseen prompts.

    Args:
        store: the open file.
        study: its name.
        sample: which prompts and seeds; by default those that tell most of the front as it is now, which is the most
            images of its schedules, and of equals the latest.
        same_steps: leave out runs of other numbers of steps than the study's, as if there were none.

    Returns:
        None where nothing was confirmed, or not even the uncached run.

    Raises:
        StorageError: scores are damaged.
    """
    identity = store.identity(study) or {}
    by_sample: dict[str, list[ConfirmationRecord]] = {}
    for record in store.confirmations(study):
        if not same_steps or record.steps == int(identity["generation"]["steps"]):
            by_sample.setdefault(record.sample, []).append(record)
    if not by_sample:
        return None
    uncached = uncached_genome(identity)
    wanted = {record.genome for record in front_to_confirm(store, study, identity, same_steps)} - {uncached}
    if sample is None:
        sample = max(by_sample, key=lambda key: _told(by_sample[key], wanted))
    records = {record.run: record for record in by_sample.get(sample, ())}
    if uncached not in records:
        return None
    cost, metric = study_cost(identity), str(identity["reward"])
    searched = _searched(store, study, metric, identity)
    runs = [
        Run(
            record.run,
            record.origin,
            cost(record),
            _scores(record, metric),
            record.run in wanted,
            None if record.run == uncached else searched(record.run),
        )
        for record in records.values()
    ]
    return Confirmation(
        sample,
        uncached,
        judge(runs, _scores(records[uncached], metric)),
        len(wanted - records.keys()),
        max(record.created for record in records.values()),
    )


def _searched(
    store: Store, study: str, metric: str, identity: Mapping[str, Any]
) -> Callable[[str], NDArray[np.float64] | None]:
    """From a run to its ``(prompts, seeds)`` differences to the uncached run on the prompts of the search.

    None where the search has no score of all images of the run.
    """
    shape = len(identity["prompts"]), len(identity["seeds"])
    baselines = store.baselines(study)

    def rewards(run: str) -> NDArray[np.float64] | None:
        record = baselines.get(run) or store.evaluation(study, run)
        values = None if record is None else record.scores.get(metric)
        return values.astype(np.float64).reshape(shape) if values is not None and values.size == prod(shape) else None

    uncached = rewards(_SEARCHED)

    def searched(run: str) -> NDArray[np.float64] | None:
        found = rewards(run)
        return None if found is None or uncached is None else found - uncached

    return searched


def _scores(record: ConfirmationRecord, metric: str) -> NDArray[np.float64]:
    values = record.scores.get(metric)
    if values is None or values.size != record.prompts * record.seeds:
        raise StorageError(
            f"The confirmed scores of {record.origin!r} are not {record.prompts * record.seeds} of {metric!r}; "
            "restore the file, or confirm on other prompts."
        )
    return values.astype(np.float64).reshape(record.prompts, record.seeds)


def _told(records: Sequence[ConfirmationRecord], front_genomes: Collection[str]) -> tuple[int, str]:
    images = sum(record.prompts * record.seeds for record in records if record.run in front_genomes)
    return images, max(record.created for record in records)


def _plain(prompt: str) -> str:
    return " ".join(prompt.casefold().split())
