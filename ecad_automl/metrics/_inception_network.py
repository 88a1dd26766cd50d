"""Inception v3 as FID takes it: the network of 2015-12-05 (Szegedy et al. 2015, https://arxiv.org/abs/1512.00567).

It differs from torchvision's in its pooling: averages leave the padding out, and the last block takes a maximum. Names
of weights are those of the file that torch-fidelity converted from TensorFlow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

INCEPTION_FEATURES = 2048
"""Channels of the last block; their means over the image are the features of FID."""

_CLASSES = 1008


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


class _Layer(NamedTuple):
    """A convolution of a branch."""

    name: str
    outputs: int
    kernel: int | tuple[int, int]
    stride: int = 1


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
    """Branches side by side, their outputs concatenated.

    Args:
        inputs: channels of the input.
        pool: what the last branch begins with.
        pooled: the convolution after it, if any.
        branches: the others; those that begin with the same layer share it.
    """

    def __init__(self, inputs: int, pool: nn.Module, pooled: _Layer | None, *branches: Sequence[_Layer]) -> None:
        super().__init__()
        self._pool = pool
        self._pooled = pooled
        self._branches = branches
        for branch in [*branches, [pooled] if pooled else []]:
            channels = inputs
            for layer in branch:
                if not hasattr(self, layer.name):
                    module = _Convolution(channels, layer.outputs, layer.kernel, stride=layer.stride)
                    self.add_module(layer.name, module)
                channels = layer.outputs

    def forward(self, x: Tensor) -> Tensor:
        done: dict[str, Tensor] = {}
        ends = []
        for branch in self._branches:
            value = x
            for layer in branch:
                if layer.name not in done:
                    done[layer.name] = self.get_submodule(layer.name)(value)
                value = done[layer.name]
            ends.append(value)
        last = self._pool(x)
        ends.append(self.get_submodule(self._pooled.name)(last) if self._pooled else last)
        return torch.cat(ends, dim=1)


def _block_5(inputs: int, *, pooled: int) -> _Block:
    return _Block(
        inputs,
        _AVERAGE,
        _Layer("branch_pool", pooled, 1),
        [_Layer("branch1x1", 64, 1)],
        [_Layer("branch5x5_1", 48, 1), _Layer("branch5x5_2", 64, 5)],
        [_Layer("branch3x3dbl_1", 64, 1), _Layer("branch3x3dbl_2", 96, 3), _Layer("branch3x3dbl_3", 96, 3)],
    )


def _block_6a(inputs: int) -> _Block:
    return _Block(
        inputs,
        _HALVING,
        None,
        [_Layer("branch3x3", 384, 3, 2)],
        [_Layer("branch3x3dbl_1", 64, 1), _Layer("branch3x3dbl_2", 96, 3), _Layer("branch3x3dbl_3", 96, 3, 2)],
    )


def _block_6(inputs: int, *, middle: int) -> _Block:
    return _Block(
        inputs,
        _AVERAGE,
        _Layer("branch_pool", 192, 1),
        [_Layer("branch1x1", 192, 1)],
        [
            _Layer("branch7x7_1", middle, 1),
            _Layer("branch7x7_2", middle, (1, 7)),
            _Layer("branch7x7_3", 192, (7, 1)),
        ],
        [
            _Layer("branch7x7dbl_1", middle, 1),
            _Layer("branch7x7dbl_2", middle, (7, 1)),
            _Layer("branch7x7dbl_3", middle, (1, 7)),
            _Layer("branch7x7dbl_4", middle, (7, 1)),
            _Layer("branch7x7dbl_5", 192, (1, 7)),
        ],
    )


def _block_7a(inputs: int) -> _Block:
    return _Block(
        inputs,
        _HALVING,
        None,
        [_Layer("branch3x3_1", 192, 1), _Layer("branch3x3_2", 320, 3, 2)],
        [
            _Layer("branch7x7x3_1", 192, 1),
            _Layer("branch7x7x3_2", 192, (1, 7)),
            _Layer("branch7x7x3_3", 192, (7, 1)),
            _Layer("branch7x7x3_4", 192, 3, 2),
        ],
    )


def _block_7(inputs: int, pool: nn.Module) -> _Block:
    narrow = _Layer("branch3x3_1", 384, 1)
    deep = (_Layer("branch3x3dbl_1", 448, 1), _Layer("branch3x3dbl_2", 384, 3))
    return _Block(
        inputs,
        pool,
        _Layer("branch_pool", 192, 1),
        [_Layer("branch1x1", 320, 1)],
        [narrow, _Layer("branch3x3_2a", 384, (1, 3))],
        [narrow, _Layer("branch3x3_2b", 384, (3, 1))],
        [*deep, _Layer("branch3x3dbl_3a", 384, (1, 3))],
        [*deep, _Layer("branch3x3dbl_3b", 384, (3, 1))],
    )
