"""Metrics of pixels: PSNR and SSIM to the uncached image, by torchmetrics."""

from __future__ import annotations

import torch
from torch import Tensor

from ecad_automl.metrics._pairs import PairedMetric, torchmetrics_part

_FUNCTIONS = "torchmetrics.functional.image"
_CAP = 100.0


class PSNR(PairedMetric):
    """Peak signal-to-noise ratio, ``-10 log10(MSE)``, in dB; higher is better.

    Of equal images it is infinite, which no mean could take: it is cut at 100 dB, where pixels are 1e-5 of their range
    apart, far less than one level of 8 bits.

    Args:
        device: where to compute; the default is where the images are.

    Raises:
        RewardError: torchmetrics is not installed.
    """

    name = "psnr"
    dtype = torch.float64

    def __init__(self, *, device: str | torch.device | None = None) -> None:
        super().__init__(device)
        self._function = torchmetrics_part(self.name, _FUNCTIONS, "peak_signal_noise_ratio")

    def _scores(self, images: Tensor, references: Tensor) -> Tensor:
        ratios: Tensor = self._function(images, references, data_range=1.0, reduction="none", dim=(1, 2, 3))
        return ratios.clamp_max(_CAP)


class SSIM(PairedMetric):
    """Structural similarity (Wang et al. 2004) with a Gaussian window of 11 pixels, at most 1; higher is better.

    The mean over all pixels and channels, images being mirrored at their borders. Images have at least the size of the
    window.

    Args:
        device: where to compute; the default is where the images are.

    Raises:
        RewardError: torchmetrics is not installed.
    """

    name = "ssim"
    smallest = 11

    def __init__(self, *, device: str | torch.device | None = None) -> None:
        super().__init__(device)
        self._function = torchmetrics_part(self.name, _FUNCTIONS, "structural_similarity_index_measure")

    def _scores(self, images: Tensor, references: Tensor) -> Tensor:
        found: Tensor = self._function(images, references, data_range=1.0, reduction="none")
        return found
