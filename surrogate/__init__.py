"""Learns from evaluated candidates which new ones are worth evaluating. Knows no torch, diffusers or Optuna."""

from surrogate.anchors import Anchors, find_anchors
from surrogate.bits import bit_features, segments
from surrogate.drop import LogDrop
from surrogate.feasibility import ConstrainedForecast, probability_above
from surrogate.features import FeatureContext, feature_names, features, group_drift
from surrogate.forecast import DropForecast, Forecast, GaussianForecast
from surrogate.harm import HarmModel, fit_harm
from surrogate.hypervolume import (
    Reference,
    Staircase,
    hypervolume,
    hypervolume_gain,
    reference_of,
    staircase,
)
from surrogate.model import FEWEST_SCHEDULES, Surrogate
from surrogate.pareto import (
    GrowingFront,
    cheapest_within_drop,
    knee,
    most_reward_at_speedup,
    non_dominated,
    pareto_front,
)
from surrogate.prefilter import choose_batch, expected_hypervolume_gain
from surrogate.prior import Prior
from surrogate.table import FEWEST_SAMPLES, TableSurrogate
from surrogate.trust import (
    TrustFigures,
    banded_rank_correlation,
    inside_interval,
    interval_coverage,
    trust_figures,
)
from surrogate.uncertainty import interval_stretch

__all__ = [
    "FEWEST_SAMPLES",
    "FEWEST_SCHEDULES",
    "Anchors",
    "ConstrainedForecast",
    "DropForecast",
    "FeatureContext",
    "Forecast",
    "GaussianForecast",
    "GrowingFront",
    "HarmModel",
    "LogDrop",
    "Prior",
    "Reference",
    "Staircase",
    "Surrogate",
    "TableSurrogate",
    "TrustFigures",
    "banded_rank_correlation",
    "bit_features",
    "cheapest_within_drop",
    "choose_batch",
    "expected_hypervolume_gain",
    "feature_names",
    "features",
    "find_anchors",
    "fit_harm",
    "group_drift",
    "hypervolume",
    "hypervolume_gain",
    "inside_interval",
    "interval_coverage",
    "interval_stretch",
    "knee",
    "most_reward_at_speedup",
    "non_dominated",
    "pareto_front",
    "probability_above",
    "reference_of",
    "segments",
    "staircase",
    "trust_figures",
]
