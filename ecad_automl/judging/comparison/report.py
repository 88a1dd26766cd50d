"""What a comparison found, as JSON and CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ecad_automl.judging.comparison.summary import MetricSummary, RunSummary
from ecad_automl.judging.statistics import Interval

_SCHEMA = "ecad-automl/evaluation/1"


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
        "seconds_per_image": summary.seconds,
        "speedup": summary.speedup,
        "metrics": {name: _metric(metric) for name, metric in summary.metrics.items()},
    }


def _metric(metric: MetricSummary) -> dict[str, Any]:
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
        for name, metric in summary.metrics.items():
            row = [summary.name, summary.mac_speedup, summary.seconds, summary.speedup, name, metric.images]
            for interval in (metric.mean, metric.difference):
                row += [None] * 3 if interval is None else [interval.mean, *(_ends(interval) or (None, None))]
            writer.writerow([*row, metric.win_rate])
    return text.getvalue()
