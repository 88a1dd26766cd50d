"""What the package image-reward is run on: prompts, a vocabulary, and models by their sizes."""

from __future__ import annotations

import string
from typing import Any, NamedTuple

__all__ = ["CASES", "FULL_SIZE", "FULL_SIZE_PAIRS", "PROMPTS", "VOCABULARY", "Sizes", "med_config"]


class Sizes(NamedTuple):
    """What the package fixes for ViT-L: channels and blocks of the image encoder; and the text encoder's channels."""

    vision_width: int
    depth: int
    text_width: int


PROMPTS = (
    "a large striped red circle left of a small solid blue square on a white background",
    "A CAT, drawn by hand; 4 of 10!",
    "",
    "naïve café — déjà vu, 東京 at night",
    "one [DEC] two [ENC] three [MASK] four",
    "a very long prompt " * 20,
    "tabs\tand\nnew lines, 'quotes' and e-mail@addresses #100%",
)

VOCABULARY = (
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *string.digits,
    *string.ascii_lowercase,
    *string.punctuation,
    *(f"##{character}" for character in string.digits + string.ascii_lowercase),
    *("cat", "red", "blue", "circle", "square", "large", "small", "##ed", "##ing", "京", "very", "long", "prompt"),
)

FULL_SIZE = "full-size"

CASES: dict[str, tuple[Sizes, dict[str, Any]]] = {
    "one-head": (
        Sizes(vision_width=64, depth=2, text_width=32),
        {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64, "max_position_embeddings": 40},
    ),
    "two-heads": (
        Sizes(vision_width=128, depth=3, text_width=64),
        {"num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 96, "max_position_embeddings": 64},
    ),
    "deep-text": (
        Sizes(vision_width=64, depth=1, text_width=48),
        {
            "num_hidden_layers": 5,
            "num_attention_heads": 3,
            "intermediate_size": 200,
            "max_position_embeddings": 512,
            "layer_norm_eps": 1e-5,
            "encoder_width": 99,
        },
    ),
    FULL_SIZE: (
        Sizes(vision_width=1024, depth=24, text_width=768),
        {"num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072, "max_position_embeddings": 512},
    ),
}
"""Sizes by name. Of the full size only a few pairs are scored, and only where it is asked for."""

FULL_SIZE_PAIRS = (slice(0, 2), slice(0, 3))


def med_config(case: str) -> dict[str, Any]:
    """What ``med_config.json`` holds."""
    sizes, config = CASES[case]
    return {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "add_cross_attention": True,
        "hidden_act": "gelu",
        "hidden_size": sizes.text_width,
        "encoder_width": 768,
        "pad_token_id": 0,
        "type_vocab_size": 2,
        "attention_probs_dropout_prob": 0.1,
        "hidden_dropout_prob": 0.1,
        "initializer_range": 0.02,
        "layer_norm_eps": 1e-12,
        "vocab_size": len(VOCABULARY) + 2,
        **config,  # [DEC] and [ENC]
    }
