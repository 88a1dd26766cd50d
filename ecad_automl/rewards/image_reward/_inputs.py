"""Images and prompts as the network takes them.

Images have their short side resized to its input size, a centre crop, and CLIP's mean and deviation. The image-reward
package reads pictures of 8 bits by Pillow; a tensor is therefore taken as the picture that saving it gives. Prompts are
token ids: BERT's uncased word pieces, and two tokens that BLIP adds.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ecad_automl.errors import RewardError
from ecad_automl.rewards.image_reward._network import TOKENS
from ecad_automl.rewards.preprocessing import Images, normalized, to_pil

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


def to_pixels(images: Images, size: int) -> Tensor:
    """Network input of images.

    Args:
        images: ``(n, 3, h, w)`` floats in [0, 1], or ``n`` PIL images of any sizes and modes.
        size: height and width of the input.

    Returns:
        ``(n, 3, size, size)`` float32, normalized, on the CPU.
    """
    pictures = to_pil(images) if isinstance(images, Tensor) else images
    levels = torch.from_numpy(np.stack([np.asarray(_crop(picture, size)) for picture in pictures]))
    return normalized(levels.permute(0, 3, 1, 2).float() / 255)


def _crop(picture: Image.Image, size: int) -> Image.Image:
    # Converted last, as the package does: a picture with a palette or transparency is resized as what it is.
    width, height = picture.size
    new_height, new_width = _resized(height, width, size)
    if (new_height, new_width) != (height, width):
        picture = picture.resize((new_width, new_height), Image.Resampling.BICUBIC)
    top, left = _corner(new_height, size), _corner(new_width, size)
    return picture.crop((left, top, left + size, top + size)).convert("RGB")


def _resized(height: int, width: int, size: int) -> tuple[int, int]:
    """Height and width with a short side of ``size``; the long one is cut to whole pixels."""
    if height < width:
        return size, int(size * width / height)
    return int(size * height / width), size


def _corner(length: int, size: int) -> int:
    return round((length - size) / 2)
