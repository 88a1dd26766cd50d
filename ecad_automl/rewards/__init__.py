"""Rewards: what a search maximizes, one number per image."""

from ecad_automl.files.weights import Weights, hash_state
from ecad_automl.rewards.constraint import Constraint, parse_constraint
from ecad_automl.rewards.protocol import (
    Floats,
    PairedReward,
    Reward,
    check_scores,
    higher_is_better,
    weights_of,
)
from ecad_automl.rewards.registry import load_reward, reward_names
from ecad_automl.rewards.weighted import maximized

__all__ = [
    "Constraint",
    "Floats",
    "PairedReward",
    "Reward",
    "Weights",
    "check_scores",
    "hash_state",
    "higher_is_better",
    "load_reward",
    "maximized",
    "parse_constraint",
    "reward_names",
    "weights_of",
]
