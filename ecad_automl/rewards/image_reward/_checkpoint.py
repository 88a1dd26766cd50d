"""From the published checkpoint to a network of the same sizes."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from ecad_automl.errors import RewardError
from ecad_automl.rewards.image_reward._keys import HEAD_LAYERS, UNUSED, VISION, published_name
from ecad_automl.rewards.image_reward._med_config import MedConfig
from ecad_automl.rewards.image_reward._network import HEAD_WIDTH, Network, VisionSizes

_NAMED_KEYS = 5


def build_network(state: Mapping[str, Tensor], text: MedConfig, source: str) -> Network:
    """A network with the weights of a checkpoint, ready to score on the CPU in the checkpoint's precision.

    Args:
        state: the tensors, in the names of the image-reward package.
        text: sizes of the text encoder; those of the image encoder and the head are those of the tensors.
        source: what the checkpoint is called in messages.

    Raises:
        RewardError: a tensor is missing, unknown or of another shape.
    """
    vision, head = _vision_sizes(state, source), _head_widths(state, text, source)
    with torch.device("meta"):  # weights come from the checkpoint, so none are drawn
        network = Network(vision, text, head)
    expected = {published_name(name): (name, tensor) for name, tensor in network.state_dict().items()}
    missing = expected.keys() - state.keys()
    unexpected = state.keys() - expected.keys() - UNUSED
    if missing or unexpected:
        lacks = f" lacks {_some(missing)}" if missing else ""
        has = f" has {_some(unexpected)}, which the network does not know" if unexpected else ""
        raise RewardError(
            f"The checkpoint {source}{lacks}{' and' if lacks and has else ''}{has}; give ImageReward.pt and "
            "med_config.json of one and the same model."
        )
    for published, (_, tensor) in expected.items():
        if state[published].shape != tensor.shape:
            raise RewardError(
                f"The checkpoint {source} has {published} of the shape {tuple(state[published].shape)}, but "
                f"{tuple(tensor.shape)} is expected; give ImageReward.pt and med_config.json of one and the same model."
            )
    network.load_state_dict({name: state[published] for published, (name, _) in expected.items()}, assign=True)
    positions = torch.arange(text.max_position_embeddings).expand(1, -1)
    network.text.embeddings.position_ids = positions  # a buffer that no checkpoint fills
    return network.eval().requires_grad_(False)


def _vision_sizes(state: Mapping[str, Tensor], source: str) -> VisionSizes:
    _, tokens, width = _shape(state, f"{VISION}pos_embed", 3, source)
    patch_size = _shape(state, f"{VISION}patch_embed.proj.weight", 4, source)[-1]
    feed_forward = _shape(state, f"{VISION}blocks.0.mlp.fc1.weight", 2, source)[0]
    grid = math.isqrt(tokens - 1)
    if grid * grid + 1 != tokens:
        raise RewardError(
            f"The checkpoint {source} has {tokens} positions in {VISION}pos_embed; one for [CLS] and a square number "
            "for patches are expected."
        )
    if width % HEAD_WIDTH:
        raise RewardError(
            f"The checkpoint {source} has an image encoder of {width} channels; its attention heads have {HEAD_WIDTH}, "
            "so a multiple of that is expected."
        )
    blocks = [re.match(re.escape(VISION) + r"blocks\.(\d+)\.", name) for name in state]
    depth = max(int(found[1]) for found in blocks if found) + 1
    return VisionSizes(grid * patch_size, patch_size, width, depth, feed_forward)


def _head_widths(state: Mapping[str, Tensor], text: MedConfig, source: str) -> list[int]:
    names = [f"mlp.layers.{layer}.weight" for layer in HEAD_LAYERS]
    return [text.hidden_size, *(_shape(state, name, 2, source)[0] for name in names[:-1]), 1]


def _shape(state: Mapping[str, Tensor], name: str, dimensions: int, source: str) -> tuple[int, ...]:
    if name not in state:
        raise RewardError(f"The checkpoint {source} lacks {name}; give ImageReward.pt as its authors publish it.")
    shape = tuple(state[name].shape)
    if len(shape) != dimensions:
        raise RewardError(
            f"The checkpoint {source} has {name} of the shape {shape}, but {dimensions} dimensions are expected; give "
            "ImageReward.pt as its authors publish it."
        )
    return shape


def _some(names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - _NAMED_KEYS} more" if len(ordered) > _NAMED_KEYS else ""
    return ", ".join(ordered[:_NAMED_KEYS]) + more
