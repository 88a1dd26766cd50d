"""Several runs of a pipeline on the same prompts and noises, judged by several metrics, beside the uncached run."""

from ecad_automl.judging.comparison.metrics import UNCACHED, Judge, load_judge
from ecad_automl.judging.comparison.runner import (
    BatchSize,
    ComparisonObserver,
    Item,
    Ledger,
    Sample,
    compare,
    pending_images,
)
from ecad_automl.judging.comparison.summary import MetricSummary, RunSummary, summarize

__all__ = [
    "UNCACHED",
    "BatchSize",
    "ComparisonObserver",
    "Item",
    "Judge",
    "Ledger",
    "MetricSummary",
    "RunSummary",
    "Sample",
    "compare",
    "load_judge",
    "pending_images",
    "summarize",
]
