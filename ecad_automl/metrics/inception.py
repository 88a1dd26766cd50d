"""Images -> the features of FID."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ecad_automl.errors import EvaluationError
from ecad_automl.files.paths import expand_home
from ecad_automl.files.tensor_file import read_state
from ecad_automl.files.weights import Weights, hash_state
from ecad_automl.metrics._inception_network import InceptionV3

_URL = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"
_SIDE = 299
_BATCH = 32


class InceptionFeatures:
    """The 2048 features of the last pooling of Inception v3, as torch-fidelity and torchmetrics take them.

    Images are rounded to 8 bits, as they are where diffusers makes pictures of them (torchmetrics cuts the fraction
    off). They are resized to 299 pixels as in TensorFlow 1, where FID comes from, and in torch-fidelity: bilinear
    without antialiasing, corners aligned at the first pixel. FID depends on that; torchmetrics antialiases unless told
    otherwise.

    Args:
        source: a file of weights as torch-fidelity publishes them (``.pth``, or the same as ``.safetensors``). The
            default is that file in the cache of torch hub, downloaded if it is not there.
        device: torch device; the default is CUDA where there is one.

    Raises:
        EvaluationError: the file cannot be had or is not of this network.
        FileError: it cannot be read.
    """

    resize = "tensorflow"

    def __init__(self, source: str | Path | None = None, *, device: str | torch.device | None = None) -> None:
        path = _cached() if source is None else expand_home(source)
        state = read_state(path, f"the file {Path(_URL).name} of torch-fidelity")
        network = InceptionV3()
        try:
            network.load_state_dict(state)
        except RuntimeError as error:
            fault = " ".join(str(error).split())[:200]
            raise EvaluationError(
                f"The weights {str(path)!r} are not of this Inception v3 ({fault}); the file {Path(_URL).name} of "
                "torch-fidelity is expected."
            ) from error
        self.weights = (Weights(str(source or _URL), hash_state(state)),)
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self._network = network.to(self.device).eval().requires_grad_(requires_grad=False)

    @torch.inference_mode()
    def features(self, images: Tensor) -> NDArray[np.float32]:
        """Features.

        Args:
            images: ``(n, 3, h, w)`` floats in [0, 1].

        Returns:
            ``(n, 2048)`` float32.

        Raises:
            EvaluationError: the shape or type is another.
        """
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            raise EvaluationError(
                f"Images of shape {tuple(images.shape)} and {images.dtype} were given; (n, 3, h, w) floats in [0, 1] "
                "are expected."
            )
        batches = [self._network(self._prepared(batch)) for batch in torch.split(images, _BATCH)]
        return np.asarray(torch.cat(batches).cpu().numpy())

    def _prepared(self, images: Tensor) -> Tensor:
        levels = (images.to(self.device, torch.float32).clamp(0, 1) * 255).round()
        return (resize_like_tensorflow(levels, _SIDE) - 128) / 128


def resize_like_tensorflow(images: Tensor, size: int) -> Tensor:
    """Bilinear as TensorFlow 1 does it: output pixel i is at ``i * input / output``, whatever lies between is skipped.

    Args:
        images: ``(n, c, h, w)`` float32.
        size: of both sides.

    Returns:
        ``(n, c, size, size)`` float32.
    """
    for dim in (3, 2):
        before = images.shape[dim]
        places = torch.arange(size, dtype=torch.float32, device=images.device) * (before / size)
        low = places.long()
        high = (low + 1).clamp_max(before - 1)
        fraction = (places - low).view((1, 1, size, 1) if dim == 2 else (1, 1, 1, size))
        below, above = images.index_select(dim, low), images.index_select(dim, high)
        images = below + (above - below) * fraction
    return images


def _cached() -> Path:
    """The published file in torch hub's cache, downloaded and checked against the digits in its name if need be."""
    name = Path(_URL).name
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(_URL, str(path), hash_prefix=path.stem.rpartition("-")[2])
        except (OSError, RuntimeError) as error:
            raise EvaluationError(
                f"The weights of Inception v3 cannot be downloaded ({error}); put {_URL} at {path}, or name the file."
            ) from error
    return path
