"""The text encoder's sizes, from the ``med_config.json`` that lies beside the checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError, model_validator

from ecad_automl.errors import RewardError
from ecad_automl.files.json_file import read_json_object

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

    @model_validator(mode="after")
    def _check_heads(self) -> Self:
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"a hidden_size of {self.hidden_size}, which is no multiple of its num_attention_heads, "
                f"{self.num_attention_heads}"
            )
        return self


def read_med_config(path: str | Path) -> MedConfig:
    """Read the file.

    Raises:
        FileError: there is no such file, or it is no JSON object.
        RewardError: it does not describe a BERT with cross-attention.
    """
    data = read_json_object(path, "configuration of ImageReward's text encoder")
    try:
        return MedConfig.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        raise RewardError(
            f"{path} is no configuration of ImageReward's text encoder: "
            f"{': '.join([*map(str, first['loc']), first['msg']])}; give the med_config.json that lies beside "
            "ImageReward.pt."
        ) from error
