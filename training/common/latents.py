"""Latents that are computed once and kept in a file."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Generic, Self, TypeVar

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor

from ecad_automl.files.tensor_file import read_tensor_file
from training.common.progress import progress_bar

__all__ = ["LatentSet"]

Scene = TypeVar("Scene")

_BATCH = 128


class LatentSet(ABC, Generic[Scene]):
    """Scenes and their latents ``(n, ...)`` float16, computed once and kept in a file."""

    def __init__(self, scenes: list[Scene], latents: Tensor) -> None:
        self.scenes = scenes
        self.latents = latents

    @classmethod
    def load_or_make(cls, path: Path, autoencoder: AutoencoderKL, count: int, seed: int) -> Self:
        """Read the file, or render and encode ``count`` training scenes and write it; a longer file is cut short."""
        made_by = _fingerprint(autoencoder)
        chunks = _stored_chunks(path, made_by)
        wanted = -(-count // _BATCH)
        scenes: list[Scene] = []
        with progress_bar("latents") as bar, torch.no_grad():
            task = bar.add_task("", total=wanted, figures="")
            for index in range(wanted):
                rng = np.random.default_rng([seed, 3, index])
                batch = [cls._scene(rng) for _ in range(_BATCH)]
                scenes += batch
                if index >= len(chunks):
                    pictures = torch.from_numpy(cls._render(batch, rng)) * 2 - 1
                    chunks.append(cls._encode(autoencoder, pictures).half())
                    if index % 100 == 99 or index == wanted - 1:
                        path.parent.mkdir(parents=True, exist_ok=True)
                        partial = path.with_suffix(".partial")
                        torch.save({"autoencoder": made_by, "latents": torch.cat(chunks)}, partial)
                        partial.replace(path)
                bar.update(task, completed=index + 1)
        return cls(scenes, torch.cat(chunks[:wanted]))

    @staticmethod
    @abstractmethod
    def _scene(rng: np.random.Generator) -> Scene:
        """A random training scene."""

    @staticmethod
    @abstractmethod
    def _render(scenes: Sequence[Scene], rng: np.random.Generator) -> NDArray[np.float32]:
        """Pictures ``(n, 3, 64, 64)`` in [0, 1]."""

    @staticmethod
    @abstractmethod
    def _encode(autoencoder: AutoencoderKL, pictures: Tensor) -> Tensor:
        """Latents of pictures ``(n, 3, 64, 64)`` in [-1, 1], scaled for diffusion."""


def _fingerprint(autoencoder: AutoencoderKL) -> str:
    """Of the half that makes latents; another decoder reads the same ones."""
    assert autoencoder.quant_conv is not None
    digest = hashlib.blake2b(str(autoencoder.config.scaling_factor).encode(), digest_size=8)
    for part in (autoencoder.encoder, autoencoder.quant_conv):
        for value in part.state_dict().values():
            digest.update(np.ascontiguousarray(value.cpu()).tobytes())
    return digest.hexdigest()


def _stored_chunks(path: Path, made_by: str) -> list[Tensor]:
    """Latents that this very autoencoder made earlier."""
    if not path.exists():
        return []
    stored = read_tensor_file(path)
    if not isinstance(stored, dict) or stored.get("autoencoder") != made_by:
        return []
    return list(torch.split(stored["latents"], _BATCH))
