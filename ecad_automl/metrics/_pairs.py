"""What metrics of an image and its reference share."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ecad_automl.errors import RewardError

_BATCH = 16


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
