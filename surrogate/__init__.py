"""Learns from evaluated candidates which new ones are worth evaluating. Knows no torch, diffusers or Optuna."""

from surrogate._accuracy import (
    Accuracy,
    banded_rank_correlation,
    inside_interval,
    interval_coverage,
    measure_accuracy,
)
from surrogate._anchors import Anchors, find_anchors
from surrogate._bits import bit_features, segments
from surrogate._model import FEWEST_SAMPLES, Surrogate, TableSurrogate
from surrogate._prediction import LogDrop, LossScale, Prediction
from surrogate._trend import DriftTrend, Prior, fit_drift_trend
from surrogate._uncertainty import interval_stretch
from surrogate.features import FeatureContext, Plans, features_and_drift, group_drift
from surrogate.hypervolume import (
    Reference,
    Staircase,
    choose_batch,
    expected_hypervolume_improvement,
    hypervolume,
    hypervolume_improvement,
    reference_of,
    staircase,
)
from surrogate.pareto import (
    GrowingFront,
    cheapest_within_drop,
    knee,
    most_reward_at_speedup,
    non_dominated,
    pareto_front,
)

__all__ = [
    "FEWEST_SAMPLES",
    "Accuracy",
    "Anchors",
    "DriftTrend",
    "FeatureContext",
    "GrowingFront",
    "LogDrop",
    "LossScale",
    "Plans",
    "Prediction",
    "Prior",
    "Reference",
    "Staircase",
    "Surrogate",
    "TableSurrogate",
    "banded_rank_correlation",
    "bit_features",
    "cheapest_within_drop",
    "choose_batch",
    "expected_hypervolume_improvement",
    "features_and_drift",
    "find_anchors",
    "fit_drift_trend",
    "group_drift",
    "hypervolume",
    "hypervolume_improvement",
    "inside_interval",
    "interval_coverage",
    "interval_stretch",
    "knee",
    "measure_accuracy",
    "most_reward_at_speedup",
    "non_dominated",
    "pareto_front",
    "reference_of",
    "segments",
    "staircase",
]
