"""State dicts of open_clip as transformers' CLIP: the same network under other names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from transformers import CLIPConfig, CLIPModel

from ecad_automl.errors import RewardError
from ecad_automl.rewards.clip_encoder import check_keys

#: Parts of the names of weights in blocks, replaced one after another.
_IN_BLOCKS = {
    "visual.transformer.resblocks.": "vision_model.encoder.layers.",
    "transformer.resblocks.": "text_model.encoder.layers.",
    ".ln_": ".layer_norm",
    ".attn.": ".self_attn.",
    ".mlp.c_fc.": ".mlp.fc1.",
    ".mlp.c_proj.": ".mlp.fc2.",
}
_OUTSIDE = {
    "logit_scale": "logit_scale",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "visual.ln_pre.weight": "vision_model.pre_layrnorm.weight",
    "visual.ln_pre.bias": "vision_model.pre_layrnorm.bias",
    "visual.ln_post.weight": "vision_model.post_layernorm.weight",
    "visual.ln_post.bias": "vision_model.post_layernorm.bias",
}
#: Matrices that open_clip multiplies from the right.
_TRANSPOSED = {"text_projection": "text_projection.weight", "visual.proj": "visual_projection.weight"}
#: Channels of a head of each encoder in ViT-H-14.
_VISION_HEAD, _TEXT_HEAD = 80, 64
#: Weights whose shapes say how large the model is.
_SIZES = (
    "visual.conv1.weight",
    "visual.positional_embedding",
    "visual.transformer.resblocks.0.mlp.c_fc.weight",
    "token_embedding.weight",
    "positional_embedding",
    "text_projection",
    "transformer.resblocks.0.mlp.c_fc.weight",
)


def clip_config(source: str, state: Mapping[str, Tensor]) -> Any:
    """The transformers config that the shapes imply; widths of heads, which leave no trace in them, are ViT-H-14's.

    Args:
        source: for errors.
        state: of an open_clip model with two transformers.

    Raises:
        RewardError: weights that sizes are read from are missing, or a width is not divisible into heads.
    """
    check_keys(source, [key for key in _SIZES if key not in state], [])
    width, _, patch, _ = state["visual.conv1.weight"].shape
    vocabulary, text_width = state["token_embedding.weight"].shape
    for part, channels, head in (("image", width, _VISION_HEAD), ("text", text_width, _TEXT_HEAD)):
        if channels % head:
            raise RewardError(
                f"The {part} encoder of {source!r} has {channels} channels, which are no multiple of the {head} per "
                "head in ViT-H-14; only that kind of model can be read from an open_clip file."
            )
    grid = round((len(state["visual.positional_embedding"]) - 1) ** 0.5)
    shared = {"projection_dim": state["text_projection"].shape[1], "hidden_act": "gelu", "layer_norm_eps": 1e-5}
    return CLIPConfig(
        text_config={
            "vocab_size": vocabulary,
            "hidden_size": text_width,
            "intermediate_size": len(state["transformer.resblocks.0.mlp.c_fc.weight"]),
            "num_hidden_layers": _depth(state, "transformer."),
            "num_attention_heads": text_width // _TEXT_HEAD,
            "max_position_embeddings": len(state["positional_embedding"]),
            # Marks of begin and end are the last two of open_clip's vocabulary.
            "bos_token_id": vocabulary - 2,
            "eos_token_id": vocabulary - 1,
            **shared,
        },
        vision_config={
            "hidden_size": width,
            "intermediate_size": len(state["visual.transformer.resblocks.0.mlp.c_fc.weight"]),
            "num_hidden_layers": _depth(state, "visual.transformer."),
            "num_attention_heads": width // _VISION_HEAD,
            "patch_size": patch,
            "image_size": patch * grid,
            **shared,
        },
        projection_dim=shared["projection_dim"],
    )


def to_transformers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same weights under the names of transformers' ``CLIPModel``; names that it does not know stay."""
    renamed: dict[str, Tensor] = {}
    for key, value in state.items():
        if key in _TRANSPOSED:
            renamed[_TRANSPOSED[key]] = value.T.contiguous()
            continue
        name = _OUTSIDE.get(key, key)
        if name == key:
            for theirs, ours in _IN_BLOCKS.items():
                name = name.replace(theirs, ours)
        if ".self_attn.in_proj_" in name:
            for part, chunk in zip("qkv", value.chunk(3), strict=False):
                weight = name.replace(".in_proj_", f".{part}_proj.")
                renamed[weight] = chunk.contiguous()
        else:
            renamed[name] = value
    return renamed


def clip_model(source: str, state: Mapping[str, Tensor]) -> Any:
    """A transformers ``CLIPModel`` with the weights of an open_clip ViT-H-14, or of a smaller one of its kind.

    Raises:
        RewardError: weights are missing, unexpected or of another shape.
    """
    config = clip_config(source, state)
    try:
        model, info = CLIPModel.from_pretrained(
            None, config=config, state_dict=to_transformers(state), dtype="auto", output_loading_info=True
        )
    except RuntimeError as error:
        raise RewardError(
            f"The checkpoint {source!r} does not fit the model that its sizes imply ({str(error).splitlines()[0]}); "
            "name a checkpoint of this very kind of model."
        ) from error
    check_keys(source, info["missing_keys"], [*info["unexpected_keys"], *info["mismatched_keys"]])
    return model


def _depth(state: Mapping[str, Tensor], prefix: str) -> int:
    numbers = [key.removeprefix(f"{prefix}resblocks.").partition(".")[0] for key in state if key.startswith(prefix)]
    return 1 + max(int(number) for number in numbers if number.isdigit())
