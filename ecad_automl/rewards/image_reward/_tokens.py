"""Prompts as token ids: BERT's uncased word pieces, and two tokens that BLIP adds."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from torch import Tensor

from ecad_automl.errors import RewardError
from ecad_automl.rewards.image_reward._med_config import TOKENS

_USUAL = "bert-base-uncased"


def load_tokenizer(tokenizer: Any, vocab_size: int) -> Any:
    """A tokenizer of the checkpoint's vocabulary, with [DEC] and [ENC] at its end.

    The two only matter where a prompt itself has such a word: every prompt begins with [CLS].

    Args:
        tokenizer: None for ``bert-base-uncased`` of the hub or its cache, a folder or hub id, or a tokenizer of
            transformers, which is copied.
        vocab_size: rows of the checkpoint's token embedding.

    Raises:
        RewardError: it cannot be loaded, or has another number of tokens.
    """
    named = tokenizer is None or isinstance(tokenizer, str | Path)
    found = _from_pretrained(str(tokenizer or _USUAL)) if named else deepcopy(tokenizer)
    found.add_special_tokens({"bos_token": "[DEC]"})
    found.add_special_tokens({"additional_special_tokens": ["[ENC]"]})
    if len(found) != vocab_size:
        raise RewardError(
            f"The tokenizer {found.name_or_path!r} has {len(found)} tokens with [DEC] and [ENC], but the checkpoint "
            f"knows {vocab_size}; give the one that it was trained with, {_USUAL} for ImageReward-v1.0."
        )
    return found


def tokenize(tokenizer: Any, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Token ids and mask, each ``(n, 35)`` int64; longer prompts are cut, padding of shorter ones is masked."""
    tokens = tokenizer(list(prompts), padding="max_length", truncation=True, max_length=TOKENS, return_tensors="pt")
    return tokens["input_ids"], tokens["attention_mask"]


def _from_pretrained(name: str) -> Any:
    from transformers import BertTokenizer

    try:
        found = BertTokenizer.from_pretrained(name)
        # Without a vocabulary, transformers 5 makes one of the special tokens alone.
        if found.get_vocab().keys() <= set(found.all_special_tokens):
            raise ValueError("no vocabulary was found")  # noqa: TRY301
    except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        # from_pretrained reports a missing, damaged or unreachable tokenizer by any of these.
        reason = " ".join(str(error).split())[:200]
        raise RewardError(
            f"The tokenizer {name!r} cannot be loaded ({reason}); give as tokenizer=... a folder with BERT's "
            "vocab.txt, or a hub id that this machine can reach."
        ) from error
    return found
