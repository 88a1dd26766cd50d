"""Metrics of pixels: PSNR and SSIM to the uncached image, by torchmetrics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ecad_automl.metrics._pairs import check_pairs, torchmetrics_part

_FUNCTIONS = "torchmetrics.functional.image"
_BATCH = 16
_SSIM_WINDOW = 11


class PSNR:
    """Peak signal-to-noise ratio, ``-10 log10(MSE)``, in dB; higher is better.

    Of equal images it is infinite, which no mean could take: it is cut at ``cap``. At the default of 100 dB, pixels
    are 1e-5 of their range apart, far less than one level of 8 bits.

    Args:
        cap: in dB.
        device: where to compute; the default is where the images are.

    Raises:
        RewardError: torchmetrics is not installed.
    """

    name = "psnr"
    higher_is_better = True

    def __init__(self, *, cap: float = 100.0, device: str | torch.device | None = None) -> None:
        self._cap = cap
        self._device = device
        self._function = torchmetrics_part(self.name, _FUNCTIONS, "peak_signal_noise_ratio")

    @torch.inference_mode()
    def score_pairs(self, images: Tensor, references: Tensor, prompts: Sequence[str]) -> NDArray[np.float64]:
        """See :class:`~ecad_automl.rewards.protocol.PairedReward`; ``(n,)`` dB.

        Raises:
            RewardError: images and references are not of one shape, ``(n, 3, h, w)`` floats.
        """
        del prompts
        check_pairs(self.name, images, references)
        scores = [
            self._function(image, reference, data_range=1.0, reduction="none", dim=(1, 2, 3)).clamp_max(self._cap)
            for image, reference in _batches(images, references, self._device, torch.float64)
        ]
        return _joined(scores)


class SSIM:
    """Structural similarity (Wang et al. 2004) with a Gaussian window of 11 pixels, at most 1; higher is better.

    The mean over all pixels and channels, images being mirrored at their borders.

    Args:
        device: where to compute; the default is where the images are.

    Raises:
        RewardError: torchmetrics is not installed.
    """

    name = "ssim"
    higher_is_better = True

    def __init__(self, *, device: str | torch.device | None = None) -> None:
        self._device = device
        self._function = torchmetrics_part(self.name, _FUNCTIONS, "structural_similarity_index_measure")

    @torch.inference_mode()
    def score_pairs(self, images: Tensor, references: Tensor, prompts: Sequence[str]) -> NDArray[np.float64]:
        """See :class:`~ecad_automl.rewards.protocol.PairedReward`; ``(n,)`` at most 1.

        Raises:
            RewardError: images and references are not of one shape, ``(n, 3, h, w)`` floats of at least 11 x 11 pixels.
        """
        del prompts
        check_pairs(self.name, images, references, smallest=_SSIM_WINDOW)
        scores = [
            self._function(image, reference, data_range=1.0, reduction="none")
            for image, reference in _batches(images, references, self._device, torch.float32)
        ]
        return _joined(scores)


def _batches(
    images: Tensor, references: Tensor, device: str | torch.device | None, dtype: torch.dtype
) -> list[tuple[Tensor, Tensor]]:
    def parts(tensor: Tensor) -> list[Tensor]:
        return [part.to(device or part.device, dtype) for part in torch.split(tensor, _BATCH)]

    return list(zip(parts(images), parts(references.to(images.device)), strict=True))


def _joined(scores: list[Tensor]) -> NDArray[np.float64]:
    return np.concatenate([score.reshape(-1).double().cpu().numpy() for score in scores])
