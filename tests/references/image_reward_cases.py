"""What the package image-reward is run on: prompts, and models by their sizes."""

from __future__ import annotations

from tests.rewards.image_reward.small import Sizes

__all__ = ["CASES", "FULL_SIZE", "FULL_SIZE_PAIRS", "PROMPTS"]

PROMPTS = (
    "a large striped red circle left of a small solid blue square on a white background",
    "A CAT, drawn by hand; 4 of 10!",
    "",
    "naïve café — déjà vu, 東京 at night",
    "one [DEC] two [ENC] three [MASK] four",
    "a very long prompt " * 20,
    "tabs\tand\nnew lines, 'quotes' and e-mail@addresses #100%",
)

FULL_SIZE = "full-size"

FULL_SIZE_PAIRS = (slice(0, 2), slice(0, 3))
"""Prompts and pictures that are scored in full size, for it is slow."""

CASES = {
    "one-head": Sizes(),
    "two-heads": Sizes(width=128, depth=3, text_width=64, text_depth=3, text_heads=4, text_inner=96, positions=64),
    "deep-text": Sizes(depth=1, text_width=48, text_depth=5, text_heads=3, text_inner=200, positions=512, eps=1e-5),
    FULL_SIZE: Sizes(
        width=1024, depth=24, text_width=768, text_depth=12, text_heads=12, text_inner=3072, positions=512
    ),
}
"""Sizes by name; the full size only where it is asked for."""
