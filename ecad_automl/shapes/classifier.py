"""The attribute classifier: which value each attribute of a shapes picture has."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Self

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ecad_automl.errors import UnsupportedModelError
from ecad_automl.shapes.world import ATTRIBUTES, parse_caption

_WEIGHTS = "classifier.safetensors"
_CONFIG = "config.json"


class AttributeClassifier(nn.Module):
    """A small convolutional network with one linear head per attribute of ``attributes``.

    Each head has a temperature that calibrates its probabilities (Guo et al., 2017, arXiv 1706.04599).

    Args:
        width: channels of the first convolution.
    """

    attributes: ClassVar[Mapping[str, Sequence[str]]] = ATTRIBUTES
    world: ClassVar[str] = "shapes"
    trained_by: ClassVar[str] = "training.shapes"
    temperatures: Tensor

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.width = width
        size = self._build(width)
        self.heads = nn.ModuleDict({name: nn.Linear(size, len(values)) for name, values in self.attributes.items()})
        self.register_buffer("temperatures", torch.ones(len(self.attributes)))

    def _build(self, width: int) -> int:
        """Make what the heads see, and return its size."""
        self.body = nn.Sequential(
            nn.Conv2d(3, width, 4, stride=4),
            nn.GELU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.GroupNorm(8, width),
            nn.GELU(),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
            nn.GELU(),
            nn.Conv2d(2 * width, width, 3, padding=1),
            nn.GroupNorm(8, width),
            nn.GELU(),
            nn.Flatten(),
            nn.Linear(64 * width, 4 * width),
            nn.GELU(),
        )
        return 4 * width

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Calibrated logits.

        Args:
            pictures: ``(n, 3, 64, 64)`` float in [0, 1].

        Returns:
            For each attribute, ``(n, values)``.
        """
        seen = self._seen(pictures)
        return [head(seen) / self.temperatures[i] for i, head in enumerate(self.heads.values())]

    def _seen(self, pictures: Tensor) -> Tensor:
        seen: Tensor = self.body(pictures * 2 - 1)
        return seen

    def features(self, pictures: Tensor) -> list[Tensor]:
        """What each activation passes on, for measuring how far apart pictures look.

        Args:
            pictures: ``(n, 3, 64, 64)`` float in [0, 1].

        Returns:
            ``(n, channels, height, width)`` of each convolution's activation, and ``(n, channels)`` of the last.
        """
        found, values = [], pictures * 2 - 1
        for module in self.body:
            values = module(values)
            if isinstance(module, nn.GELU):
                found.append(values)
        return found

    def labels(self, captions: Sequence[str]) -> Tensor:
        """What captions say, ``(n, attributes)``: indices of values, -1 where a caption says nothing of an attribute.

        Raises:
            PromptError: a caption is not one of the classifier's world.
        """
        return torch.tensor([parse_caption(caption).attributes() for caption in captions])

    def save(self, folder: Path) -> None:
        """Write weights and config into ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file({k: v.contiguous() for k, v in self.state_dict().items()}, folder / _WEIGHTS)
        (folder / _CONFIG).write_text(json.dumps({"width": self.width}, indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what :meth:`save` wrote.

        Raises:
            UnsupportedModelError: the files are missing.
        """
        try:
            config = json.loads((folder / _CONFIG).read_text())
            weights = load_file(folder / _WEIGHTS)
        except FileNotFoundError as error:
            raise UnsupportedModelError(
                f"The attribute classifier is not in {str(folder)!r} ({Path(error.filename or _WEIGHTS).name} is "
                f"missing); reinstall the package or train it with `python -m {cls.trained_by}`."
            ) from error
        model = cls(width=int(config["width"]))
        model.load_state_dict(weights)
        return model.eval()
