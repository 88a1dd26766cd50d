"""Rewards of CLIP models: cosines between an image and its prompt, and what people prefer, learned as such."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from ecad_automl.files.paths import expand_home, hub_file
from ecad_automl.files.tensor_file import read_state
from ecad_automl.files.weights import Weights, hash_state
from ecad_automl.rewards.clip_encoder import ClipEncoder, clip_tokenizer, processor_files
from ecad_automl.rewards.preprocessing import Images, check_images, fit_longest, normalized, to_unit_tensors
from ecad_automl.rewards.protocol import Floats

#: Both preference models were tuned from it, and their authors take its tokenizer and preprocessing.
_LAION_H = "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"
_HPS_REPOSITORY = "xswu/HPSv2"
_HPS_FILE = "HPS_v2.1_compressed.pt"


class _ClipReward:
    """What the three share: a score from the cosine of an image and its prompt."""

    name: ClassVar[str]
    source: ClassVar[str]
    processor: ClassVar[str | None] = None

    def __init__(self, encoder: ClipEncoder) -> None:
        self._encoder = encoder

    @classmethod
    def from_pretrained(
        cls,
        source: str | None = None,
        *,
        processor: str | None = None,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> Self:
        """Load a checkpoint.

        Args:
            source: folder or hub id of a CLIP checkpoint in the format of transformers; the default is the class's
                ``source``. Scores of different checkpoints cannot be compared.
            processor: folder or hub id of tokenizer and preprocessing. The default is the folder's own if ``source``
                is a folder that has them, else the class's ``processor``, or else ``source``.
            device: torch device; the default is CUDA where there is one.
            dtype: type of weights and activations; the default is float32.

        Raises:
            RewardError: the checkpoint cannot be found or read, is no CLIP, or lacks weights or has others.
        """
        source = source or cls.source
        place = processor or processor_files(source, cls.processor or source)
        return cls(ClipEncoder.from_pretrained(source, processor=place, device=device, dtype=dtype))

    @property
    def weights(self) -> tuple[Weights, ...]:
        """The checkpoint and the digest of its weights, as they are stored."""
        return (self._encoder.weights,)

    def score(self, images: Images, prompts: Sequence[str]) -> Floats:
        """See :class:`~ecad_automl.rewards.protocol.Reward`.

        Args:
            images: ``(n, 3, h, w)`` floats in [0, 1], or ``n`` PIL images.
            prompts: ``n`` prompts; of longer ones the first 77 tokens count.

        Returns:
            ``(n,)`` float64.

        Raises:
            PromptError: there is not one prompt per image.
            RewardError: images are no such tensor or PIL images.
        """
        check_images(self.name, images, prompts)
        return np.asarray(self._scaled(self._encoder.cosines(images, prompts)), dtype=np.float64)

    def _scaled(self, cosines: Tensor) -> Tensor:
        raise NotImplementedError


class CLIPScore(_ClipReward):
    """``100 * max(0, cos)`` of the image's and the prompt's embedding, in [0, 100].

    Hessel et al. 2021 (https://arxiv.org/abs/2104.08718) define ``2.5 * max(0, cos)`` with "A photo depicts" in front
    of the text. Papers on image generation report a hundred times the cosine of the bare prompt, which this is.
    torchmetrics' ``CLIPScore`` is the mean of the same numbers where all cosines are positive: it cuts the mean over
    images at 0, this the score of each image, so that images can be compared. Texts of more than 77 tokens keep their
    end mark here and lose it there.
    """

    name = "clip"
    #: The largest that OpenAI trained at 224 px, the one that torchmetrics takes too.
    source = "openai/clip-vit-large-patch14"

    def _scaled(self, cosines: Tensor) -> Tensor:
        return 100 * cosines.clamp_min(0)


class PickScore(_ClipReward):
    """``exp(logit_scale) * cos``: Kirstain et al. 2023 (https://arxiv.org/abs/2305.01569).

    For two images of one prompt, the softmax of their scores is the probability that people pick either.
    """

    name = "pickscore"
    source = "yuvalkirstain/PickScore_v1"
    processor = _LAION_H

    def _scaled(self, cosines: Tensor) -> Tensor:
        return self._encoder.logit_scale * cosines


class HPSv2(_ClipReward):
    """The cosine under a CLIP ViT-H/14 tuned on preferences: Wu et al. 2023 (https://arxiv.org/abs/2306.09341).

    The authors' tables show a hundred times the score.
    """

    name = "hps"
    source = _HPS_REPOSITORY
    processor = _LAION_H

    @classmethod
    def from_pretrained(
        cls,
        source: str | None = None,
        *,
        processor: str | None = None,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> Self:
        """Load a checkpoint.

        What ends in ``.pt`` is a state dict of open_clip's ViT-H-14, as the authors publish it: images are prepared as
        in their code, the longer side scaled to 224 px in floating point and the shorter one padded with black. All
        else is a checkpoint of transformers' CLIP and prepared as that says.

        Args:
            source: ``xswu/HPSv2`` for HPS v2.1, which is the default, a file on the hub as
                ``xswu/HPSv2/HPS_v2_compressed.pt``, a file of one's own, a folder that holds
                ``HPS_v2.1_compressed.pt``, or the folder or hub id of a checkpoint in the format of transformers.
            processor: as for the other rewards; of an open_clip file only the tokenizer is taken from there.
            device: torch device; the default is CUDA where there is one.
            dtype: type of weights and activations; the default is float32.

        Raises:
            FileError: the file cannot be read.
            RewardError: the checkpoint cannot be found, or lacks weights or has others.
        """
        source = source or cls.source
        file = _published_file(source)
        if file is None:
            return super().from_pretrained(source, processor=processor, device=device, dtype=dtype)
        from ecad_automl.rewards.open_clip_state import clip_model

        state = read_state(file, "a state dict of an open_clip model that torch.save wrote")
        model = clip_model(source, state)
        size = model.config.vision_config.image_size
        return cls(
            ClipEncoder(
                model,
                clip_tokenizer(processor or _LAION_H),
                lambda images: _authors_preprocessing(images, size),
                Weights(source, hash_state(state)),
                device=device,
                dtype=dtype,
            )
        )

    def _scaled(self, cosines: Tensor) -> Tensor:
        return cosines


def _published_file(source: str) -> Path | None:
    """The open_clip file that is meant, from the hub if need be; None where a transformers checkpoint is."""
    path = expand_home(source)
    if path.is_dir():
        return path / _HPS_FILE if (path / _HPS_FILE).is_file() else None
    if path.is_file():
        return path
    if source == _HPS_REPOSITORY:
        source = f"{source}/{_HPS_FILE}"
    if not source.endswith(".pt"):
        return None
    repository, _, name = source.rpartition("/")
    return hub_file(repository, name)


def _authors_preprocessing(images: Images, size: int) -> Tensor:
    """``(n, 3, size, size)``, as the authors' code prepares images for scoring."""
    return normalized(torch.stack([fit_longest(image, size) for image in to_unit_tensors(images)]))
