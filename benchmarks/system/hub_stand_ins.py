"""Tiny text models in place of those that diffusers' tests take from the hub, in a cache as the hub's client has it.

Configs have the sizes that the tests build on; tokenizers know letters alone, so that numbers which tests expect of a
prompt are others.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from transformers import (
    CLIPConfig,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    GemmaConfig,
    GemmaTokenizer,
    Qwen2Tokenizer,
    Qwen2VLConfig,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

_COMMIT = "0" * 40
_LETTERS = string.ascii_lowercase


def _t5(folder: Path) -> None:
    config = T5Config(
        vocab_size=1103,
        d_model=32,
        d_kv=8,
        d_ff=37,
        num_layers=5,
        num_heads=4,
        relative_attention_num_buckets=8,
        initializer_factor=0.002,
    )
    torch.manual_seed(0)
    T5EncoderModel(config).save_pretrained(folder)
    pieces = ["<pad>", "</s>", "<unk>", "▁", *_LETTERS]
    T5Tokenizer(vocab=[(piece, -float(rank)) for rank, piece in enumerate(pieces)]).save_pretrained(folder)


def _clip(folder: Path) -> None:
    _clip_tokenizer(folder)
    CLIPConfig().save_pretrained(folder)


def _clip_text(folder: Path) -> None:
    _clip_tokenizer(folder)
    config = CLIPTextConfig(
        vocab_size=1000,
        hidden_size=32,
        intermediate_size=37,
        num_attention_heads=4,
        num_hidden_layers=5,
        projection_dim=32,
    )
    torch.manual_seed(0)
    CLIPTextModel(config).save_pretrained(folder)


def _clip_tokenizer(folder: Path) -> None:
    words = [letter + end for end in ("", "</w>") for letter in _LETTERS]
    vocab = {word: rank for rank, word in enumerate(["<|startoftext|>", "<|endoftext|>", *words])}
    tokenizer = CLIPTokenizer(vocab=vocab, merges=[])
    tokenizer.model_max_length = 77
    tokenizer.save_pretrained(folder)


def _gemma(folder: Path) -> None:
    # The text models of the tests know no more than eight words.
    vocab = {word: rank for rank, word in enumerate(["<pad>", "<eos>", "<bos>", "<unk>", *"abcd"])}
    GemmaTokenizer(vocab=vocab, merges=[]).save_pretrained(folder)
    GemmaConfig().save_pretrained(folder)


def _qwen(folder: Path) -> None:
    """Without the processor of images, which needs torchvision: edits cannot be run."""
    marks = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    vocab = {word: rank for rank, word in enumerate([*marks, *_LETTERS, "Ġ"])}
    Qwen2Tokenizer(vocab=vocab, merges=[]).save_pretrained(folder)
    Qwen2VLConfig().save_pretrained(folder)


STAND_INS: Mapping[str, Callable[[Path], None]] = {
    "hf-internal-testing/tiny-random-t5": _t5,
    "hf-internal-testing/tiny-random-clip": _clip,
    "peft-internal-testing/tiny-clip-text-2": _clip_text,
    "hf-internal-testing/dummy-gemma": _gemma,
    "hf-internal-testing/tiny-random-Qwen2VLForConditionalGeneration": _qwen,
}
"""What makes them in a folder, by the names on the hub."""


def make_stand_ins(cache: Path) -> None:
    """Write all of them below ``cache``, for ``HF_HUB_CACHE`` and ``HF_HUB_OFFLINE=1``."""
    for name, make in STAND_INS.items():
        place = cache / f"models--{name.replace('/', '--')}"
        folder = place / "snapshots" / _COMMIT
        folder.mkdir(parents=True)
        make(folder)
        (place / "refs").mkdir()
        (place / "refs" / "main").write_text(_COMMIT)
