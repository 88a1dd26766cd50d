"""The package image-reward 1.5 itself, importable, and small enough for tests. For processes of its own environment."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from tests.references.torchvision_ops import declare_operators
from tests.rewards.image_reward.small import Sizes

__all__ = ["import_package", "use_sizes"]

#: What its ``__init__`` imports beside the scorer, and what is not there: CLIP's own code, and fine-tuning.
_LEFT_OUT = ("clip", "ImageReward.ReFL")


def import_package() -> Any:
    """The package, as ``import ImageReward`` gives it."""
    declare_operators()
    for name in _LEFT_OUT:
        sys.modules[name] = ModuleType(name)
    import ImageReward  # type: ignore[import-not-found]

    return ImageReward


def use_sizes(sizes: Sizes) -> None:
    """Let ``ImageReward.load`` build its own classes in other sizes, with heads of 64 channels as in ViT-L."""
    blip = sys.modules["ImageReward.models.BLIP.blip_pretrain"]
    scorer: Any = sys.modules["ImageReward.ImageReward"]
    transformer = sys.modules["ImageReward.models.BLIP.vit"].VisionTransformer
    head = getattr(scorer, "PublishedMLP", scorer.MLP)

    def create_vit(vit: str, image_size: int, *_: object) -> tuple[Any, int]:
        width = sizes.width
        encoder = transformer(
            img_size=image_size, patch_size=16, embed_dim=width, depth=sizes.depth, num_heads=width // 64
        )
        return encoder, width

    blip.create_vit = create_vit  # type: ignore[attr-defined]
    scorer.PublishedMLP = head
    scorer.MLP = lambda _: head(sizes.text_width)
