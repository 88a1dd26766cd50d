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
    named = isinstance(tokenizer, str | Path)
    called = f"The tokenizer {str(tokenizer) if named else _USUAL!r}" if named or tokenizer is None else "The tokenizer"
    found = _from_pretrained(str(tokenizer or _USUAL), called) if called != "The tokenizer" else deepcopy(tokenizer)
    found.add_special_tokens({"bos_token": "[DEC]"})
    found.add_special_tokens({"additional_special_tokens": ["[ENC]"]})
    if len(found) != vocab_size:
        raise RewardError(
            f"{called} has {len(found)} tokens with [DEC] and [ENC], but the checkpoint knows {vocab_size}; give the "
            f"one that it was trained with, {_USUAL} for ImageReward-v1.0."
        )
    return found


def tokenize(tokenizer: Any, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Token ids and mask, each ``(n, 35)`` int64; longer prompts are cut, padding of shorter ones is masked."""
    tokens = tokenizer(list(prompts), padding="max_length", truncation=True, max_length=TOKENS, return_tensors="pt")
    return tokens["input_ids"], tokens["attention_mask"]


def _from_pretrained(name: str, called: str) -> Any:
    from transformers import BertTokenizer

    try:
        found = BertTokenizer.from_pretrained(name)
    except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        # from_pretrained reports a missing, damaged or unreachable tokenizer by any of these.
        raise _unavailable(called, " ".join(str(error).split())[:200]) from error
    # Without a vocabulary, transformers 5 makes one of the special tokens alone.
    if found.get_vocab().keys() <= set(found.all_special_tokens):
        raise _unavailable(called, "no vocabulary was found")
    return found


def _unavailable(called: str, reason: str) -> RewardError:
    return RewardError(
        f"{called} cannot be loaded ({reason}); give as tokenizer=... a folder with BERT's vocab.txt, or a hub id that "
        "this machine can reach."
    )
