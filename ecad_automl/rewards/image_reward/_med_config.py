"""The text encoder's sizes, from the ``med_config.json`` that lies beside the checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError

from ecad_automl.errors import RewardError

#: Length to which every prompt is padded and cut.
TOKENS = 35


class MedConfig(BaseModel):
    """A BERT with cross-attention, in the names of BERT's configuration; what has no effect on scores is left out."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    add_cross_attention: Literal[True]
    hidden_act: Literal["gelu"] = "gelu"
    hidden_size: PositiveInt
    intermediate_size: PositiveInt
    layer_norm_eps: PositiveFloat = 1e-12
    max_position_embeddings: int = Field(ge=TOKENS)
    num_attention_heads: PositiveInt
    num_hidden_layers: PositiveInt
    pad_token_id: int = Field(default=0, ge=0)
    position_embedding_type: Literal["absolute"] = "absolute"
    vocab_size: PositiveInt


def read_med_config(path: str | Path) -> MedConfig:
    """Read the file.

    Raises:
        RewardError: there is no such file, or it does not describe a BERT with cross-attention.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise RewardError(
            f"The text encoder's configuration {path} cannot be read ({error}); give the med_config.json that lies "
            "beside ImageReward.pt."
        ) from error
    try:
        config = MedConfig.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise RewardError(
            f"{path} is no configuration of ImageReward's text encoder: {place}: {first['msg']}; give the "
            "med_config.json that lies beside ImageReward.pt."
        ) from error
    if config.hidden_size % config.num_attention_heads:
        raise RewardError(
            f"{path} has a hidden_size of {config.hidden_size}, which is no multiple of its num_attention_heads, "
            f"{config.num_attention_heads}; give the med_config.json that lies beside ImageReward.pt."
        )
    return config
