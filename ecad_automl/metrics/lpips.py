"""LPIPS: how different two images look, by the activations of an image classifier."""

from __future__ import annotations

import torch
from torch import Tensor

from ecad_automl.errors import RewardError
from ecad_automl.files.weights import Weights, hash_state, only_tensors
from ecad_automl.metrics._pairs import PairedMetric, torchmetrics_part

_NETS = ("alex", "vgg", "squeeze")


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
