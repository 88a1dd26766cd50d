"""What the dashboard shows of a study, gathered as plain data; imports no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from ecad_automl.cli.studies import StoredStudy
from ecad_automl.schedules.schedule import Schedule
from storage import BaselineRecord, EvaluationRecord
from studies.confirmation import Confirmation, Verdict
from studies.dashboard.content import artifact_id

if TYPE_CHECKING:
    from studies.dashboard import TrialFacts

__all__ = ["TRIALS", "Shown", "figures_of", "half_width", "picture_id", "shown_front", "spread"]

T = TypeVar("T")

#: Schedules of a front that get notes and pictures: each page carries what is known of all of them.
TRIALS = 100
#: Columns of the plot of computed shares.
_COLUMNS = 60
#: Origins of seeds that are no published heuristics.
_OWN = ("bred", "drift", "init:", "uncached", "all-reuse")


@dataclass(frozen=True)
class Shown:
    """A schedule of the front.

    Args:
        record: its evaluation.
        number: of its trial.
        schedule: what it does.
        verdict: on unseen prompts; None where it was not confirmed.
        facts: how its trial came about.
    """

    record: EvaluationRecord
    number: int
    schedule: Schedule
    verdict: Verdict | None
    facts: TrialFacts

    @property
    def difference(self) -> float:
        """Mean reward minus that of the uncached run."""
        return 0.0 - self.record.reward_drop  # not -0.0

    @property
    def key(self) -> str:
        """Stands for what its pictures show, but for the model."""
        return self.record.genome


def spread(items: list[T], count: int) -> list[T]:
    """At most ``count`` of them, evenly spread, the first and the last among them."""
    if len(items) <= count:
        return items
    return [items[round(index * (len(items) - 1) / (count - 1))] for index in range(count)]


def shown_front(study: StoredStudy, confirmation: Confirmation | None, facts: Mapping[int, TrialFacts]) -> list[Shown]:
    """The schedules of the front that have facts, the dearest first."""
    verdicts = {} if confirmation is None else {verdict.run.key: verdict for verdict in confirmation.verdicts.all}
    return [
        Shown(record, record.trial, study.schedule(record), verdicts.get(record.genome), facts[record.trial])
        for record in reversed(study.front())
        if record.trial is not None and record.trial in facts
    ]


def half_width(record: EvaluationRecord | BaselineRecord) -> float | None:
    """Of the 95 % interval of the difference to the uncached run; None where one prompt gives none."""
    return None if record.reward_drop_se is None else 1.96 * record.reward_drop_se


def figures_of(study: StoredStudy, shown: list[Shown], confirmation: Confirmation | None) -> dict[str, str]:
    """The plots of a study, as JSON of plotly, by their ids in the dashboard.

    Raises:
        StorageError: plotly is not installed.
    """
    from studies.dashboard.figures import Dot, GenerationDot, compute_plot, front_plot, hypervolume_plot, surrogate_plot
    from studies.dashboard.shares import compute_shares
    from studies.quality import Scale, hypervolume_curve, worst_of_interest

    def dot(record: EvaluationRecord | BaselineRecord, label: str, *, bars: bool = True) -> Dot:
        half = half_width(record) if bars else None
        return Dot(study.speedup(record), 0.0 - record.reward_drop, half, label)

    on_front = {record.genome for record in study.front()}
    others = [record for record in study.evaluations if record.genome not in on_front and record.complete]
    heuristics = [record for record in others if not record.origin.startswith(_OWN) and not _is_baseline(study, record)]
    known = {record.genome for record in heuristics}
    cost = study.cost.of
    full = cost(study.uncached)
    confirmed: Iterable[Verdict] = () if confirmation is None else confirmation.verdicts.front
    front = front_plot(
        front=[dot(record, _name(record)) for record in study.front()],
        confirmed=[
            Dot(
                full / verdict.run.cost,
                verdict.difference.mean,
                verdict.difference.half,
                _confirmed_name(study, verdict),
            )
            for verdict in confirmed
        ],
        heuristics=[dot(record, record.origin) for record in heuristics],
        fewer_steps=[dot(record, record.name) for record in study.baselines.values() if record is not study.uncached],
        candidates=[dot(record, _name(record), bars=False) for record in others if record.genome not in known],
        reward=str(study.identity["reward"]),
        cost=study.cost.name,
    )
    shorter = [record.reward for record in study.baselines.values()]
    floor = worst_of_interest(study.uncached.reward, shorter, min(study.evaluations, key=cost).reward)
    records = study.evaluations
    curve = hypervolume_curve(
        Scale(study.uncached.reward, floor, full),
        [record.reward for record in records],
        [cost(record) for record in records],
        [record.complete and record.feasible for record in records],
    )
    figures = {
        "ecad-front": front,
        "ecad-hypervolume": hypervolume_plot(curve),
        "ecad-surrogate": surrogate_plot(
            [GenerationDot(g.generation, g.rank_correlation, g.coverage) for g in study.generations]
        ),
    }
    columns = spread(shown, _COLUMNS)
    if columns:
        labels = [f"{study.speedup(each.record):.2f}x, trial {each.number}" for each in columns]
        figures["ecad-compute"] = compute_plot(compute_shares([each.schedule for each in columns], labels))
    return figures


def picture_id(study: StoredStudy, shown: Shown, *what: str) -> str:
    """The id of a picture of a schedule: another one for another model, way to generate, or thing to show."""
    identity = study.identity
    made_by = [str(identity[name]) for name in ("model", "revision", "scheduler", "scheduler_config", "generation")]
    return artifact_id(study.name, str(shown.number), *made_by, shown.key, *what)


def _name(record: EvaluationRecord) -> str:
    return record.origin if record.trial is None else f"trial {record.trial} ({record.origin})"


def _confirmed_name(study: StoredStudy, verdict: Verdict) -> str:
    record = study.evaluation(verdict.run.key)
    return f"{_name(record)}, {'survives' if verdict.survives else 'beaten'}"


def _is_baseline(study: StoredStudy, record: EvaluationRecord) -> bool:
    return record.origin in study.baselines
