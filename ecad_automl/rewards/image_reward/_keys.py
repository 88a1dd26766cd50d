"""Names of tensors in the published checkpoint, from their names in :class:`Network`."""

from __future__ import annotations

import re

VISION = "blip.visual_encoder."
TEXT = "blip.text_encoder."

#: Places of the head's linear layers; between them stand dropouts.
HEAD_LAYERS = (0, 2, 4, 6, 7)

#: Tensors of the published checkpoint that no score depends on: indices that are counted anew, and projections for the
#: contrastive loss that BLIP was trained with.
UNUSED = frozenset(
    {
        "blip.text_encoder.embeddings.position_ids",
        "blip.vision_proj.weight",
        "blip.vision_proj.bias",
        "blip.text_proj.weight",
        "blip.text_proj.bias",
    }
)

_VISION_NAMES = (
    (r"embeddings\.class_embedding", r"cls_token"),
    (r"embeddings\.position_embedding", r"pos_embed"),
    (r"embeddings\.patch_embedding\.(\w+)", r"patch_embed.proj.\1"),
    (r"encoder\.layers\.(\d+)\.layer_norm([12])\.(\w+)", r"blocks.\1.norm\2.\3"),
    (r"encoder\.layers\.(\d+)\.self_attn\.qkv\.(\w+)", r"blocks.\1.attn.qkv.\2"),
    (r"encoder\.layers\.(\d+)\.self_attn\.projection\.(\w+)", r"blocks.\1.attn.proj.\2"),
    (r"encoder\.layers\.(\d+)\.mlp\.(fc[12])\.(\w+)", r"blocks.\1.mlp.\2.\3"),
    (r"post_layernorm\.(\w+)", r"norm.\1"),
)


def published_name(name: str) -> str:
    """Name in the checkpoint.

    Args:
        name: as in ``Network.state_dict()``.

    Raises:
        ValueError: the network has no tensor of that name.
    """
    part, _, rest = name.partition(".")
    if part == "text":  # the text encoder kept its names
        return TEXT + rest
    if part == "mlp":
        layer, _, kind = rest.partition(".")
        return f"mlp.layers.{HEAD_LAYERS[int(layer)]}.{kind}"
    for ours, theirs in _VISION_NAMES:
        found = re.fullmatch(ours, rest)
        if part == "vision" and found:
            return VISION + found.expand(theirs)
    raise ValueError(f"No tensor of the published checkpoint is known for {name!r}.")
