"""The attribute classifier: which value each attribute of a flow-shapes picture has."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

import ecad_automl.shapes.classifier as shapes
from ecad_automl.flow_shapes.world import ATTRIBUTES, parse_caption


class _Stage(nn.Module):
    """Halves height and width, then a residual convolution; normalised over groups of channels."""

    def __init__(self, channels_in: int, channels: int, *, kernel: int = 3) -> None:
        super().__init__()
        self.down = nn.Conv2d(channels_in, channels, kernel, stride=2, padding=1)
        self.down_norm = nn.GroupNorm(8, channels)
        self.convolution = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.GroupNorm(8, channels)

    def forward(self, maps: Tensor) -> Tensor:
        down = functional.gelu(self.down_norm(self.down(maps)))
        return functional.gelu(down + self.norm(self.convolution(down)))


class AttributeClassifier(shapes.AttributeClassifier):
    """A small convolutional network with one linear head per attribute of this world."""

    attributes = ATTRIBUTES
    world = "flow-shapes"
    trained_by = "training.flow_shapes"

    def __init__(self, width: int = 24) -> None:
        super().__init__(width)

    def _build(self, width: int) -> int:
        self.stages = nn.ModuleList(
            [_Stage(3, width, kernel=4), _Stage(width, 2 * width), _Stage(2 * width, 4 * width)]
        )
        self.body = nn.Sequential(
            nn.Conv2d(4 * width, 32, 1), nn.GELU(), nn.Flatten(), nn.Linear(32 * 8 * 8, 256), nn.GELU()
        )
        return 256

    def features(self, pictures: Tensor) -> list[Tensor]:
        """What the convolutions see, from fine to coarse.

        Args:
            pictures: ``(n, 3, 64, 64)`` float in [0, 1].

        Returns:
            ``(n, w, 32, 32)``, ``(n, 2 w, 16, 16)`` and ``(n, 4 w, 8, 8)`` for a width of w.
        """
        maps = [pictures * 2 - 1]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps[1:]

    def labels(self, captions: Sequence[str]) -> Tensor:
        """See the class that this one extends."""
        return torch.tensor([parse_caption(caption).attributes() for caption in captions])

    def _seen(self, pictures: Tensor) -> Tensor:
        seen: Tensor = self.body(self.features(pictures)[-1])
        return seen


@torch.no_grad()
def attributes_right(classifier: AttributeClassifier, pictures: Tensor, captions: Sequence[str]) -> Tensor:
    """Which attributes of the captions the classifier finds in the pictures.

    Args:
        classifier: judges.
        pictures: ``(n, 3, 64, 64)`` float in [0, 1].
        captions: one for each picture.

    Returns:
        ``(n, attributes)``: 1 right, 0 wrong, -1 where the scene has no such attribute.

    Raises:
        PromptError: a caption is not one of this world.
    """
    labels = classifier.labels(captions)
    found = [
        torch.stack([head.argmax(-1) for head in classifier(chunk)], dim=1) for chunk in torch.split(pictures, 128)
    ]
    return torch.where(labels >= 0, (torch.cat(found) == labels).int(), -1)


def whole_pictures_right(right: Tensor) -> float:
    """Share of pictures of which every attribute is right, given what :func:`attributes_right` returns."""
    return float((right != 0).all(dim=1).float().mean())
