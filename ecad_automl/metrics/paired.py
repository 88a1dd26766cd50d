"""Metrics of an image and the uncached one: PSNR, SSIM and LPIPS."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ecad_automl.errors import RewardError
from ecad_automl.files.tensor_file import only_tensors
from ecad_automl.files.weights import Weights, hash_state

_BATCH = 16
_FUNCTIONS = "torchmetrics.functional.image"
_CAP = 100.0
_NETS = ("alex", "vgg", "squeeze")


class PairedMetric:
    """Scores images beside their references, some at a time.

    Args:
        device: where to compute; None is where the images are.
    """

    name: str
    higher_is_better = True
    #: Pixels that height and width must have.
    smallest = 1
    dtype = torch.float32

    def __init__(self, device: str | torch.device | None) -> None:
        self.device = device

    def _scores(self, images: Tensor, references: Tensor) -> Tensor:
        """Of ``n`` images, as a tensor of ``n`` elements."""
        raise NotImplementedError

    @torch.inference_mode()
    def score_pairs(self, images: Tensor, references: Tensor, prompts: Sequence[str]) -> NDArray[np.float64]:
        """See :class:`~ecad_automl.rewards.protocol.PairedReward`; ``(n,)``, the prompts do not count.

        Raises:
            RewardError: images and references are not of one shape, ``(n, 3, h, w)`` floats, or too small.
        """
        del prompts
        check_pairs(self.name, images, references, smallest=self.smallest)
        device = self.device or images.device
        scores = [
            self._scores(*(tensor.to(device, self.dtype) for tensor in pair)).reshape(-1).double().cpu().numpy()
            for pair in zip(torch.split(images, _BATCH), torch.split(references, _BATCH), strict=True)
        ]
        return np.concatenate(scores)


def check_pairs(name: str, images: Tensor, references: Tensor, *, smallest: int = 1) -> None:
    """See that images and references are of one shape, ``(n, 3, h, w)`` floats, with at least so many pixels a side.

    Raises:
        RewardError: they are not.
    """
    for what, tensor in (("images", images), ("references", references)):
        if tensor.ndim != 4 or tensor.shape[1] != 3 or not tensor.is_floating_point():
            raise RewardError(
                f"The metric {name!r} was given {what} of shape {tuple(tensor.shape)} and {tensor.dtype}; (n, 3, h, w) "
                "floats in [0, 1] are expected."
            )
    if images.shape != references.shape:
        raise RewardError(
            f"The metric {name!r} was given images of shape {tuple(images.shape)} and references of shape "
            f"{tuple(references.shape)}; each image needs a reference of its own size."
        )
    if min(images.shape[-2:]) < smallest:
        raise RewardError(
            f"The metric {name!r} was given images of {images.shape[-2]} x {images.shape[-1]} pixels; at least "
            f"{smallest} x {smallest} are needed."
        )


def torchmetrics_part(name: str, module: str, attribute: str) -> Any:
    """An attribute of a module of torchmetrics.

    Raises:
        RewardError: torchmetrics is not installed.
    """
    try:
        return getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        raise RewardError(
            f"The metric {name!r} needs torchmetrics ({error}); install it with pip install 'ecad-automl[metrics]'."
        ) from error


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


class LPIPS(PairedMetric):
    """Learned perceptual image patch similarity (Zhang et al. 2018) by torchmetrics: a distance, lower is better.

    The classifier's weights are those of torchvision, in the cache of torch hub; those of the layers on top come with
    torchmetrics.

    Args:
        net: "alex", on which the authors report, "vgg" or "squeeze".
        device: torch device; the default is CUDA where there is one.

    Raises:
        RewardError: there is no such net, torchmetrics or torchvision is not installed, or the weights cannot be had.
    """

    name = "lpips"
    higher_is_better = False
    # AlexNet has nothing left of smaller images after its poolings.
    smallest = 32

    def __init__(self, net: str = "alex", *, device: str | torch.device | None = None) -> None:
        if net not in _NETS:
            raise RewardError(f"LPIPS has no net {net!r}; choose one of {', '.join(_NETS)}.")
        make = torchmetrics_part(self.name, "torchmetrics.image.lpip", "LearnedPerceptualImagePatchSimilarity")
        super().__init__(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        try:
            with only_tensors():  # torchvision would let its file of weights run code
                network = make(net_type=net).net
        except ModuleNotFoundError as error:
            raise RewardError(
                f"The metric 'lpips' needs torchvision ({error}); install it with pip install 'ecad-automl[metrics]'."
            ) from error
        except (OSError, RuntimeError, ValueError) as error:
            raise RewardError(
                f"The weights of the {net!r} net of LPIPS cannot be had ({str(error).splitlines()[0]}); without a "
                f"network, put the file that torchvision wants into {torch.hub.get_dir()}/checkpoints."
            ) from error
        self._network = network.to(self.device).eval()
        self.weights = (Weights(f"torchvision {net}, torchmetrics lpips", hash_state(network.state_dict())),)

    def _scores(self, images: Tensor, references: Tensor) -> Tensor:
        distances: Tensor = self._network(images.clamp(0, 1), references.clamp(0, 1), normalize=True)
        return distances
