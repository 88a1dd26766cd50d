"""Images -> the features of FID."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ecad_automl.errors import EvaluationError
from ecad_automl.files.paths import expand_home
from ecad_automl.files.tensor_file import read_state
from ecad_automl.files.weights import Weights, hash_state

_URL = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"
_SIDE = 299
_BATCH = 32
INCEPTION_FEATURES = 2048
"""Channels of the last block; their means over the image are the features of FID."""

_CLASSES = 1008

#: A convolution of a branch: its name, its outputs and its kernel.
_Layer = tuple[str, int, int | tuple[int, int]]


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


class InceptionV3(nn.Module):
    """The network up to its features. It holds the layer of classes too, for the file of weights does."""

    def __init__(self) -> None:
        super().__init__()
        stem = {
            "Conv2d_1a_3x3": _Convolution(3, 32, 3, stride=2),
            "Conv2d_2a_3x3": _Convolution(32, 32, 3, padded=False),
            "Conv2d_2b_3x3": _Convolution(32, 64, 3),
            "MaxPool_1": nn.MaxPool2d(3, 2),
            "Conv2d_3b_1x1": _Convolution(64, 80, 1),
            "Conv2d_4a_3x3": _Convolution(80, 192, 3, padded=False),
            "MaxPool_2": nn.MaxPool2d(3, 2),
        }
        blocks = {
            "Mixed_5b": _block_5(192, pooled=32),
            "Mixed_5c": _block_5(256, pooled=64),
            "Mixed_5d": _block_5(288, pooled=64),
            "Mixed_6a": _block_6a(288),
            "Mixed_6b": _block_6(768, middle=128),
            "Mixed_6c": _block_6(768, middle=160),
            "Mixed_6d": _block_6(768, middle=160),
            "Mixed_6e": _block_6(768, middle=192),
            "Mixed_7a": _block_7a(768),
            "Mixed_7b": _block_7(1280, _AVERAGE),
            "Mixed_7c": _block_7(2048, _MAXIMUM),
        }
        self._order = [*stem, *blocks]
        for name, module in (stem | blocks).items():
            self.add_module(name, module)
        self.fc = nn.Linear(INCEPTION_FEATURES, _CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Features.

        Args:
            x: ``(n, 3, 299, 299)`` float32, pixels of 0 to 255 less 128, divided by 128.

        Returns:
            ``(n, 2048)`` float32.
        """
        for name in self._order:
            x = self.get_submodule(name)(x)
        return x.mean(dim=(2, 3))


class _Convolution(nn.Module):
    """Convolution, batch normalization, ReLU. Kernels are padded to keep the size, with a stride not at all."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int | tuple[int, int], *, stride: int = 1, padded: bool = True
    ) -> None:
        super().__init__()
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (height // 2, width // 2) if padded and stride == 1 else (0, 0)
        self.conv = nn.Conv2d(inputs, outputs, (height, width), stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.bn(self.conv(x)), inplace=True)


_AVERAGE = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
_MAXIMUM = nn.MaxPool2d(3, stride=1, padding=1)
_HALVING = nn.MaxPool2d(3, stride=2)


class _Block(nn.Module):
    """Branches side by side, their outputs concatenated. Where the pool halves the size, so do their last layers.

    Args:
        inputs: channels of the input.
        pool: what the last branch begins with.
        pooled: channels of the convolution after it; 0 where there is none.
        branches: the others; those that begin with the same layer share it.
    """

    def __init__(self, inputs: int, pool: nn.Module, pooled: int, *branches: Sequence[_Layer]) -> None:
        super().__init__()
        self._pool = pool
        self._branches = [[name for name, _, _ in branch] for branch in branches]
        for branch in branches:
            channels = inputs
            for number, (name, outputs, kernel) in enumerate(branch, start=1):
                stride = 2 if pool is _HALVING and number == len(branch) else 1
                if not hasattr(self, name):
                    self.add_module(name, _Convolution(channels, outputs, kernel, stride=stride))
                channels = outputs
        self.branch_pool = _Convolution(inputs, pooled, 1) if pooled else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        done: dict[str, Tensor] = {}
        ends = []
        for branch in self._branches:
            value = x
            for name in branch:
                if name not in done:
                    done[name] = self.get_submodule(name)(value)
                value = done[name]
            ends.append(value)
        return torch.cat([*ends, self.branch_pool(self._pool(x))], dim=1)


def _chain(name: str, *layers: tuple[int, int | tuple[int, int]]) -> list[_Layer]:
    """Layers of a branch, whose names are numbered."""
    return [(f"{name}_{number}", outputs, kernel) for number, (outputs, kernel) in enumerate(layers, start=1)]


def _block_5(inputs: int, *, pooled: int) -> _Block:
    return _Block(
        inputs,
        _AVERAGE,
        pooled,
        [("branch1x1", 64, 1)],
        _chain("branch5x5", (48, 1), (64, 5)),
        _chain("branch3x3dbl", (64, 1), (96, 3), (96, 3)),
    )


def _block_6a(inputs: int) -> _Block:
    deep = _chain("branch3x3dbl", (64, 1), (96, 3), (96, 3))
    return _Block(inputs, _HALVING, 0, [("branch3x3", 384, 3)], deep)


def _block_6(inputs: int, *, middle: int) -> _Block:
    wide, tall = (middle, (1, 7)), (middle, (7, 1))
    return _Block(
        inputs,
        _AVERAGE,
        192,
        [("branch1x1", 192, 1)],
        _chain("branch7x7", (middle, 1), wide, (192, (7, 1))),
        _chain("branch7x7dbl", (middle, 1), tall, wide, tall, (192, (1, 7))),
    )


def _block_7a(inputs: int) -> _Block:
    deep = _chain("branch7x7x3", (192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3))
    return _Block(inputs, _HALVING, 0, _chain("branch3x3", (192, 1), (320, 3)), deep)


def _block_7(inputs: int, pool: nn.Module) -> _Block:
    narrow, deep = _chain("branch3x3", (384, 1)), _chain("branch3x3dbl", (448, 1), (384, 3))
    return _Block(
        inputs,
        pool,
        192,
        [("branch1x1", 320, 1)],
        [*narrow, ("branch3x3_2a", 384, (1, 3))],
        [*narrow, ("branch3x3_2b", 384, (3, 1))],
        [*deep, ("branch3x3dbl_3a", 384, (1, 3))],
        [*deep, ("branch3x3dbl_3b", 384, (3, 1))],
    )
