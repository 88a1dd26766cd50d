"""LPIPS: how different two images look, by the activations of an image classifier."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ecad_automl.errors import RewardError
from ecad_automl.files.tensor_file import only_tensors
from ecad_automl.files.weights import Weights, hash_state
from ecad_automl.metrics._pairs import check_pairs, torchmetrics_part

_NETS = ("alex", "vgg", "squeeze")
_BATCH = 16
#: AlexNet has nothing left of smaller images after its poolings.
_SMALLEST = 32


class LPIPS:
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

    def __init__(self, net: str = "alex", *, device: str | torch.device | None = None) -> None:
        if net not in _NETS:
            raise RewardError(f"LPIPS has no net {net!r}; choose one of {', '.join(_NETS)}.")
        make = torchmetrics_part(self.name, "torchmetrics.image.lpip", "LearnedPerceptualImagePatchSimilarity")
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
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

    @torch.inference_mode()
    def score_pairs(self, images: Tensor, references: Tensor, prompts: Sequence[str]) -> NDArray[np.float64]:
        """See :class:`~ecad_automl.rewards.protocol.PairedReward`; ``(n,)`` distances, 0 for equal images.

        Raises:
            RewardError: images and references are not of one shape, ``(n, 3, h, w)`` floats of at least 32 x 32 pixels.
        """
        del prompts
        check_pairs(self.name, images, references, smallest=_SMALLEST)
        scores = []
        for start in range(0, len(images), _BATCH):
            pair = (
                tensor[start : start + _BATCH].to(self.device, torch.float32).clamp(0, 1)
                for tensor in (images, references)
            )
            scores.append(self._network(*pair, normalize=True).reshape(-1))
        return np.asarray(torch.cat(scores).double().cpu().numpy())
