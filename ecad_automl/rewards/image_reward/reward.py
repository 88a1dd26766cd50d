"""ImageReward-v1.0 on transformers' BLIP classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from ecad_automl.errors import RewardError
from ecad_automl.files.paths import expand_home, hub_file
from ecad_automl.files.tensor_file import read_state
from ecad_automl.files.weights import Weights, hash_state
from ecad_automl.rewards.image_reward._inputs import load_tokenizer, to_pixels, tokenize
from ecad_automl.rewards.image_reward._network import Network, build_network, read_med_config
from ecad_automl.rewards.preprocessing import Images, check_images
from ecad_automl.rewards.protocol import Floats, check_scores

_WEIGHTS = ("ImageReward.safetensors", "ImageReward.pt")
_MED_CONFIG = "med_config.json"
_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


class ImageReward:
    """Human preference for an image of a prompt; higher is better.

    The network and its checkpoint are those of the package image-reward 1.5 (Xu et al. 2023,
    https://arxiv.org/abs/2304.05977); scores agree with the package's to 1e-4 in float32. Make one by
    :meth:`from_pretrained` or :meth:`from_checkpoint`.

    Args:
        network: with its weights, where it is to run.
        tokenizer: of its vocabulary, see :func:`~ecad_automl.rewards.image_reward._inputs.load_tokenizer`.
        weights: what the weights are.
        batch_size: most images that run at once; scores do not depend on it but for rounding.
    """

    name = "image-reward"

    def __init__(self, network: Network, tokenizer: Any, weights: Weights, *, batch_size: int = 32) -> None:
        if batch_size < 1:
            raise RewardError(
                f"ImageReward cannot run {batch_size} images at once; a batch size of 1 or more is expected."
            )
        self._network = network
        self._tokenizer = tokenizer
        self._batch_size = batch_size
        self.weights = (weights,)

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path = "zai-org/ImageReward",
        *,
        revision: str | None = None,
        tokenizer: Any = None,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype = torch.float32,
        batch_size: int = 32,
    ) -> Self:
        """Load from the hub, its cache, or a folder with ``ImageReward.pt`` and ``med_config.json``.

        Args:
            name: hub id or folder.
            revision: branch, tag or commit on the hub.
            tokenizer: see :meth:`from_checkpoint`; None takes a ``vocab.txt`` beside the checkpoint if there is one.
            device: see :meth:`from_checkpoint`.
            dtype: see :meth:`from_checkpoint`.
            batch_size: most images that run at once.

        Raises:
            FileError: as :meth:`from_checkpoint`.
            HubError: the hub cannot be reached and has nothing in the cache, or knows no such repository or revision.
            RewardError: as :meth:`from_checkpoint`; or the folder lacks a file.
        """
        weights, med_config = _find_files(name, revision)
        if tokenizer is None and weights.with_name("vocab.txt").is_file():
            tokenizer = weights.parent
        loaded = cls.from_checkpoint(weights, med_config, tokenizer, device=device, dtype=dtype, batch_size=batch_size)
        source = str(name) if revision is None else f"{name}@{revision}"
        loaded.weights = (replace(loaded.weights[0], source=source),)
        return loaded

    @classmethod
    def from_checkpoint(
        cls,
        weights: str | Path,
        med_config: str | Path,
        tokenizer: Any = None,
        *,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype = torch.float32,
        batch_size: int = 32,
    ) -> Self:
        """Load from files.

        Args:
            weights: ``ImageReward.pt``, or the same tensors as ``.safetensors``.
            med_config: ``med_config.json``.
            tokenizer: None for ``bert-base-uncased`` of the hub or its cache, a folder or hub id, or a tokenizer of
                transformers.
            device: where it runs; the default is CUDA where there is one.
            dtype: float32, float16 or bfloat16, of both encoders; the head runs in float32.
            batch_size: most images that run at once.

        Raises:
            FileError: the weights or the configuration cannot be read.
            RewardError: the configuration is another model's, a tensor is missing, unknown or of another shape, the
                tokenizer is not that of the checkpoint, or device or dtype are unknown.
        """
        place, precision = _device(device), _dtype(dtype)
        text = read_med_config(med_config)
        words = load_tokenizer(tokenizer, text.vocab_size)
        state = read_state(weights, "ImageReward.pt as its authors publish it")
        network = build_network(state, text, str(weights))
        network.vision.to(place, precision)
        network.text.to(place, precision)
        network.mlp.to(place, torch.float32)
        return cls(network, words, Weights(str(weights), hash_state(state)), batch_size=batch_size)

    @torch.inference_mode()
    def score(self, images: Images, prompts: Sequence[str]) -> Floats:
        """One reward per image, higher is better.

        A tensor is taken as the 8-bit image that saving it gives.

        Args:
            images: ``(n, 3, h, w)`` float in [0, 1], or ``n`` PIL images of any sizes.
            prompts: ``n`` prompts; what is beyond 35 tokens is cut.

        Returns:
            ``(n,)`` float64.

        Raises:
            PromptError: prompts are not ``n`` strings.
            RewardError: images are no such tensor or PIL images, or a reward is not finite.
        """
        check_images(self.name, images, prompts)
        parts = [
            self._score_batch(images[start : start + self._batch_size], prompts[start : start + self._batch_size])
            for start in range(0, len(images), self._batch_size)
        ]
        scores = np.concatenate(parts) if parts else np.zeros(0)
        return check_scores(self.name, scores, len(images))

    def _score_batch(self, images: Images, prompts: Sequence[str]) -> Floats:
        vision = self._network.vision
        pixels = to_pixels(images, vision.config.image_size)
        token_ids, mask = tokenize(self._tokenizer, prompts)
        rewards = self._network(
            pixels.to(vision.device, vision.dtype), token_ids.to(vision.device), mask.to(vision.device)
        )
        return np.asarray(rewards.double().cpu())


def _find_files(name: str | Path, revision: str | None) -> tuple[Path, Path]:
    """Paths of the checkpoint, safetensors if there are any, and of ``med_config.json``."""
    folder = expand_home(name)
    if not folder.is_dir():
        if str(name).startswith((".", "/", "~")) or str(name).count("/") != 1:
            raise RewardError(
                f"{str(name)!r} is neither a folder with ImageReward.pt and med_config.json nor a hub id like "
                "'zai-org/ImageReward'."
            )
        return hub_file(str(name), _WEIGHTS[-1], revision), hub_file(str(name), _MED_CONFIG, revision)
    if revision is not None:
        raise RewardError(f"{folder} is a folder, which has no revision {revision!r}; leave the revision out.")
    found = [folder / file for file in (*_WEIGHTS, _MED_CONFIG) if (folder / file).is_file()]
    if not found or found[0].name == _MED_CONFIG:
        raise RewardError(f"The folder {folder} has no ImageReward.pt; put it there, or name the folder that has it.")
    if found[-1].name != _MED_CONFIG:
        raise RewardError(f"The folder {folder} has no med_config.json, which lies beside ImageReward.pt on the hub.")
    return found[0], found[-1]


def _device(device: str | torch.device | None) -> torch.device:
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.device(device)
    except RuntimeError as error:
        raise RewardError(f"There is no device {device!r}; name one as 'cpu' or 'cuda:0'.") from error


def _dtype(dtype: str | torch.dtype) -> torch.dtype:
    known = dtype if isinstance(dtype, torch.dtype) else _DTYPES.get(dtype)
    if known is None or known not in _DTYPES.values():
        raise RewardError(f"ImageReward cannot run in {dtype}; choose one of {', '.join(_DTYPES)}.")
    return known
