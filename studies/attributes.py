"""Names of the trial attributes: what a search writes down beside parameters and values."""

from __future__ import annotations

#: The effective bits of the schedule as hexadecimal digits.
GENOME = "genome"
#: Set on failed trials that were cut off, so that their genomes may be asked again.
INTERRUPTED = "interrupted"
#: Set on failed trials that could not be scored: the traceback, or why.
FAILURE = "failure"
#: 0 for seeds; Optuna keeps it under a name of its own, by which nobody can sort.
GENERATION = "generation"
#: What made the schedule: the name of a heuristic or seed, or "bred".
ORIGIN = "origin"
#: The operators that bred it, joined by "+".
OPERATOR = "operator"
#: Whether the surrogate chose it; false for the share that goes through unfiltered.
FILTERED = "filtered"
PREDICTED_REWARD = "predicted_reward"
PREDICTED_STD = "predicted_std"
#: Mean reward less the predicted one, where all images were made.
PREDICTION_ERROR = "prediction_error"
#: Of a candidate whose evaluation was stopped: reward to expect and cost, and the share of images that it comes from.
EXPECTED_VALUES = "expected_values"
IMAGE_SHARE = "image_share"
#: Whether the calibration has made the images anyhow, to compare with, so that they are not of the budget.
CALIBRATED = "calibrated"
#: MACs of the all-compute run over those of the schedule.
SPEEDUP = "mac_speedup"
MAC_FRACTION = "mac_fraction"
#: Where latency is minimized: predicted time of the all-compute run over that of the schedule.
LATENCY_SPEEDUP = "latency_speedup"
#: Mean reward minus that of the uncached run, and its paired standard error.
DIFFERENCE = "reward_difference"
DIFFERENCE_ERROR = "reward_difference_error"
SECONDS = "seconds"
#: Where there are constraints: the mean of each constrained metric by its name, and whether all bounds are kept.
CONSTRAINED = "constrained"
FEASIBLE = "feasible"
#: Of the study: names of what it was started from.
SOURCES = "started_from"
