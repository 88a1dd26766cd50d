"""Tiny text models in place of those that diffusers' tests take from the hub, in a cache as the hub's client has it.

Configs have the sizes that the tests build on; tokenizers know letters alone, so that numbers which tests expect of a
prompt are others.
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import (
    CLIPConfig,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    GemmaConfig,
    GemmaTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Qwen2Tokenizer,
    Qwen2VLConfig,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

_COMMIT = "0" * 40
_LETTERS = string.ascii_lowercase


def _ranks(*words: str) -> dict[str, int]:
    return {word: rank for rank, word in enumerate(words)}


@dataclass(frozen=True)
class StandIn:
    """What a repository of the hub has; a model of random weights only where tests load it."""

    config: PretrainedConfig
    tokenizer: PreTrainedTokenizerBase
    model: type[PreTrainedModel] | None = None

    def save(self, folder: Path) -> None:
        """Write its files into a folder."""
        self.config.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        if self.model is not None:
            torch.manual_seed(0)
            self.model(self.config).save_pretrained(folder)


_CLIP_TOKENIZER = CLIPTokenizer(
    vocab=_ranks("<|startoftext|>", "<|endoftext|>", *_LETTERS, *(f"{letter}</w>" for letter in _LETTERS)),
    merges=[],
    model_max_length=77,
)

STAND_INS: Mapping[str, StandIn] = {
    "hf-internal-testing/tiny-random-t5": StandIn(
        T5Config(
            vocab_size=1103,
            d_model=32,
            d_kv=8,
            d_ff=37,
            num_layers=5,
            num_heads=4,
            relative_attention_num_buckets=8,
            initializer_factor=0.002,
        ),
        T5Tokenizer(
            vocab=[(piece, -float(rank)) for piece, rank in _ranks("<pad>", "</s>", "<unk>", "▁", *_LETTERS).items()]
        ),
        T5EncoderModel,
    ),
    "hf-internal-testing/tiny-random-clip": StandIn(CLIPConfig(), _CLIP_TOKENIZER),
    "peft-internal-testing/tiny-clip-text-2": StandIn(
        CLIPTextConfig(
            vocab_size=1000,
            hidden_size=32,
            intermediate_size=37,
            num_attention_heads=4,
            num_hidden_layers=5,
            projection_dim=32,
            bos_token_id=0,
            eos_token_id=1,
        ),
        _CLIP_TOKENIZER,
        CLIPTextModel,
    ),
    # The text models of its tests know no more than eight words.
    "hf-internal-testing/dummy-gemma": StandIn(
        GemmaConfig(), GemmaTokenizer(vocab=_ranks("<pad>", "<eos>", "<bos>", "<unk>", *"abcd"), merges=[])
    ),
    # Without the processor of images, which needs torchvision: edits cannot be run.
    "hf-internal-testing/tiny-random-Qwen2VLForConditionalGeneration": StandIn(
        Qwen2VLConfig(),
        Qwen2Tokenizer(vocab=_ranks("<|endoftext|>", "<|im_start|>", "<|im_end|>", *_LETTERS, "Ġ"), merges=[]),
    ),
}
"""By the names on the hub."""


def make_stand_ins(cache: Path) -> None:
    """Write all of them below ``cache``, for ``HF_HUB_CACHE`` and ``HF_HUB_OFFLINE=1``."""
    for name, stand_in in STAND_INS.items():
        place = cache / f"models--{name.replace('/', '--')}"
        folder = place / "snapshots" / _COMMIT
        folder.mkdir(parents=True)
        stand_in.save(folder)
        (place / "refs").mkdir()
        (place / "refs" / "main").write_text(_COMMIT)
