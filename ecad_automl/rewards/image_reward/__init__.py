"""ImageReward-v1.0 (Xu et al. 2023, https://arxiv.org/abs/2304.05977): human preference for an image of a prompt.

:class:`ImageReward` runs the published network on transformers' own BLIP classes; :class:`PackagedImageReward` asks the
authors' package in a process of its own, for an environment that can hold it.
"""

from ecad_automl.rewards.image_reward.package import PackagedImageReward
from ecad_automl.rewards.image_reward.reward import ImageReward

__all__ = ["ImageReward", "PackagedImageReward"]
