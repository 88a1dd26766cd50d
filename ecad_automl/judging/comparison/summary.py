"""What a comparison found: means, paired differences, win rates, distances of sets, times; also as JSON and CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecad_automl.judging.comparison.metrics import UNCACHED, Judge
from ecad_automl.judging.comparison.runner import Ledger, Sample
from ecad_automl.judging.statistics import Interval, bootstrap_interval, win_rate
from ecad_automl.judging.times import Times
from ecad_automl.schedules.schedule import Schedule

_SCHEMA = "ecad-automl/evaluation/1"


@dataclass(frozen=True)
class MetricSummary:
    """A metric of a run.

    Args:
        mean: with its interval over prompts; for a metric of sets the value alone, as an interval without width.
        higher_is_better: whether larger values are better.
        images: how many the value comes from.
        difference: mean paired difference to the uncached run; None for that run and for metrics of sets.
        win_rate: share of images that are better than the uncached ones, ties counted half; None likewise, and for
            metrics that compare with the uncached image themselves.
    """

    mean: Interval
    higher_is_better: bool
    images: int
    difference: Interval | None = None
    win_rate: float | None = None


@dataclass(frozen=True)
class RunSummary:
    """A run.

    Args:
        name: of the run.
        schedule: None for the uncached run.
        macs: of one image, in the transformer; None for the uncached run where there is no other.
        mac_speedup: MACs of the uncached run over these.
        times: of generating an image, by the timed calls of the largest batch; None where none was timed.
        metrics: by name.
    """

    name: str
    schedule: Schedule | None
    macs: int | None
    mac_speedup: float
    times: Times | None
    metrics: Mapping[str, MetricSummary] = field(default_factory=dict)


def summarize(
    schedules: Mapping[str, Schedule],
    steps: int,
    sample: Sample,
    judge: Judge,
    ledger: Ledger,
    distances: Mapping[str, Mapping[str, float]] | None = None,
) -> list[RunSummary]:
    """Summaries of the uncached run of so many steps, and of all others, from the ledger and metrics of sets."""
    one = next(iter(schedules.values()), None)
    full = None if one is None else Schedule.all_compute(one.layout, steps).macs
    uncached = _seconds(ledger.times(UNCACHED))
    summaries = []
    for name, schedule in [(UNCACHED, None), *schedules.items()]:
        metrics = {
            metric: _metric(name, metric, sample, judge, ledger)
            for metric in judge.names
            if metric not in judge.extractors
        }
        for metric, values in (distances or {}).items():
            exact = Interval(values[name], values[name], values[name])
            metrics[metric] = MetricSummary(exact, higher_is_better=False, images=len(sample.items))
        seconds = _seconds(ledger.times(name))
        summaries.append(
            RunSummary(
                name,
                schedule,
                full if schedule is None else schedule.macs,
                1.0 if schedule is None else 1.0 / schedule.mac_fraction_of(steps),
                Times(seconds, uncached) if seconds else None,
                metrics,
            )
        )
    return summaries


def _metric(run: str, metric: str, sample: Sample, judge: Judge, ledger: Ledger) -> MetricSummary:
    scores, baseline = (
        ledger.scores(each, judge.key(metric), sample.items).reshape(len(sample.prompts), -1)
        for each in (run, UNCACHED)
    )
    better = judge.higher_is_better(metric)
    alone = run == UNCACHED or judge.paired(metric)
    return MetricSummary(
        _interval(scores),
        better,
        scores.size,
        None if alone else _interval(scores - baseline),
        None if alone else win_rate(scores, baseline, higher_is_better=better),
    )


def _interval(values: NDArray[np.float64]) -> Interval:
    """Over prompts; without width where there is one prompt, of which nothing can be told."""
    if len(values) < 2:
        return Interval(float(values.mean()), float("nan"), float("nan"))
    return bootstrap_interval(values)


def _seconds(times: Sequence[tuple[int, float]]) -> tuple[float, ...]:
    """Of an image, by each call of the largest batch."""
    largest = max((images for images, _ in times), default=0)
    return tuple(seconds / images for images, seconds in times if images == largest)


def document(summaries: Sequence[RunSummary], about: Mapping[str, Any]) -> dict[str, Any]:
    """All figures, as JSON values; what is not known is null.

    Args:
        summaries: of all runs.
        about: what was run, JSON values.
    """
    return {"schema": _SCHEMA, **about, "runs": [_run(summary) for summary in summaries]}


def _run(summary: RunSummary) -> dict[str, Any]:
    return {
        "name": summary.name,
        "macs": summary.macs,
        "mac_speedup": summary.mac_speedup,
        "seconds_per_image": None if summary.times is None else summary.times.median,
        "speedup": None if summary.times is None else summary.times.speedup,
        "speedup_range": None if summary.times is None else summary.times.speedup_range,
        "metrics": {name: _metric_values(metric) for name, metric in summary.metrics.items()},
    }


def _metric_values(metric: MetricSummary) -> dict[str, Any]:
    return {
        "higher_is_better": metric.higher_is_better,
        "images": metric.images,
        "mean": metric.mean.mean,
        "interval": _ends(metric.mean),
        "confidence": metric.mean.confidence,
        "difference": None if metric.difference is None else metric.difference.mean,
        "difference_interval": _ends(metric.difference),
        "win_rate": metric.win_rate,
    }


def _ends(interval: Interval | None) -> list[float] | None:
    if interval is None or math.isnan(interval.low):
        return None
    return [interval.low, interval.high]


def csv_table(summaries: Sequence[RunSummary]) -> str:
    """A row for each run and metric; empty where something is not known."""
    text = io.StringIO()
    names = ("run", "mac_speedup", "seconds_per_image", "speedup", "metric", "images", "mean", "low", "high",
             "difference", "difference_low", "difference_high", "win_rate")  # fmt: skip
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for summary in summaries:
        times = (None, None) if summary.times is None else (summary.times.median, summary.times.speedup)
        for name, metric in summary.metrics.items():
            row = [summary.name, summary.mac_speedup, *times, name, metric.images]
            for interval in (metric.mean, metric.difference):
                row += [None] * 3 if interval is None else [interval.mean, *(_ends(interval) or (None, None))]
            writer.writerow([*row, metric.win_rate])
    return text.getvalue()
