"""Multiply-accumulates as the ECAD authors count them, derived from the two architectures.

They run a counter of linear and convolution layers over one forward of a batch of two. For PixArt that is the pair of
classifier-free guidance, so one image; for FLUX, whose guidance is distilled, it is two images. Left out are the
products QK^T and AV of attention, and all element-wise work. The text has 120 tokens for PixArt (Sigma too, though its
pipeline takes 300) and 512 for FLUX. A layer of ``m x n`` weights over ``r`` rows counts ``r m n``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ecad_automl.schedules.layout import Layout, Slot

PIXART = "PixArtTransformer2DModel"
FLUX = "FluxTransformer2DModel"

_BATCH = 2
_SINUSOID = 256  # width of the sinusoidal embedding of a timestep, a size or a guidance
_ALPHA_1024 = "PixArt-alpha/PixArt-XL-2-1024-MS"  # the one checkpoint they count that is told the image's size


def ecad_layout(doubles: int, singles: int, config: Mapping[str, Any] | None = None) -> Layout:
    """The slots of PixArt (no single blocks) or FLUX, with MACs by the authors' count where the depth is theirs.

    Args:
        doubles: transformer blocks; double blocks in FLUX. They count 28 for PixArt, 19 for FLUX.
        singles: single blocks of FLUX, of which they count 38; 0 for PixArt.
        config: the ``config`` of their file, which says the resolution.

    Returns:
        The layout; ``sample`` says what was counted. At another depth the width is not known, and all MACs are 0.
    """
    config = config or {}
    if singles:
        known = (doubles, singles) == (19, 38)
        macs, constant, sample = _flux_macs(config) if known else ({}, 0, {})
    else:
        macs, constant, sample = _pixart_macs(config) if doubles == 28 else ({}, 0, {})
    slots = [
        Slot(f"transformer_blocks.{block}", component, macs=macs.get(component, 0))
        for block in range(doubles)
        for component in (("attn", "ff", "ff_context") if singles else ("attn1", "attn2", "ff"))
    ]
    slots += [
        Slot(f"single_transformer_blocks.{block}", component, reader, macs.get(f"single_{component}", 0))
        for block in range(singles)
        for component, reader in (("proj_mlp", "proj_out"), ("attn", "proj_out"), ("proj_out", None))
    ]
    return Layout(FLUX if singles else PIXART, tuple(slots), constant, sample)


def _pixart_macs(config: Mapping[str, Any]) -> tuple[dict[str, int], int, dict[str, int]]:
    """MACs per component, MACs outside the components, and the sample, for PixArt-XL/2.

    The resolution follows the weights alone: 1024 px for the one 1024 px checkpoint they count, otherwise 256 px.
    """
    width, hidden, caption, patch, latent_channels, text_tokens = 1152, 4 * 1152, 4096, 2, 4, 120
    sized = config.get("transformer_weights") == _ALPHA_1024
    pixels = 1024 if sized else 256
    tokens = (pixels // 8 // patch) ** 2
    image, text = _BATCH * tokens, _BATCH * text_tokens
    macs = {
        "attn1": 4 * image * width**2,  # queries, keys, values, output
        "attn2": 2 * image * width**2 + 2 * text * width**2,  # queries and output; keys and values
        "ff": 2 * image * width * hidden,
    }
    constant = (
        image * width * latent_channels * patch**2  # patch embedding
        + text * (caption * width + width**2)  # caption projection
        + _BATCH * (_SINUSOID * width + width**2)  # timestep embedding
        + _BATCH * width * 6 * width  # adaLN-single
        + image * width * 2 * latent_channels * patch**2  # output projection: noise and variance
    )
    if sized:  # height, width and aspect ratio, each embedded in a third of the width
        constant += 3 * _BATCH * (_SINUSOID * (width // 3) + (width // 3) ** 2)
    return macs, constant, _sample(pixels, pixels, tokens, text_tokens)


def _flux_macs(config: Mapping[str, Any]) -> tuple[dict[str, int], int, dict[str, int]]:
    """MACs per component (``single_`` before those of the single blocks), MACs outside them, and the sample."""
    width, hidden, caption, pooled, packed_channels, text_tokens = 3072, 4 * 3072, 4096, 768, 64, 512
    height, broad = (_pixels(config, key) for key in ("height", "width"))
    tokens = (height // 16) * (broad // 16)
    image, text = _BATCH * tokens, _BATCH * text_tokens
    both = image + text
    macs = {
        "attn": 4 * both * width**2,
        "ff": 2 * image * width * hidden,
        "ff_context": 2 * text * width * hidden,
        "single_proj_mlp": both * width * hidden,
        "single_attn": 3 * both * width**2,
        "single_proj_out": both * (width + hidden) * width,
    }
    constant = (
        image * packed_channels * width  # image embedding
        + text * caption * width  # text embedding
        + 2 * _BATCH * (_SINUSOID * width + width**2)  # timestep and guidance embeddings
        + _BATCH * (pooled * width + width**2)  # pooled text embedding
        + 19 * 2 * _BATCH * width * 6 * width  # adaLN of the double blocks, image and text
        + 38 * _BATCH * width * 3 * width  # adaLN of the single blocks
        + _BATCH * width * 2 * width  # last adaLN
        + image * width * packed_channels  # output projection
    )
    return macs, constant, _sample(height, broad, tokens, text_tokens)


def _pixels(config: Mapping[str, Any], key: str) -> int:
    value = config.get(key, 256)
    return value if isinstance(value, int) and 16 <= value <= 2**16 else 256


def _sample(height: int, width: int, tokens: int, text_tokens: int) -> dict[str, int]:
    return {"height": height, "width": width, "image_tokens": tokens, "text_tokens": text_tokens, "batch": _BATCH}
