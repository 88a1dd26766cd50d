"""Rewards: what a search maximizes, one number per image."""

from ecad_automl.rewards.protocol import Floats, PairedReward, Reward, check_scores
from ecad_automl.rewards.registry import load_reward, reward_names

__all__ = ["Floats", "PairedReward", "Reward", "check_scores", "load_reward", "reward_names"]
