"""The attribute classifier: which value each attribute of a shapes picture has."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ecad_automl.errors import UnsupportedModelError
from ecad_automl.shapes.world import ATTRIBUTES

_WEIGHTS = "classifier.safetensors"
_CONFIG = "config.json"


class AttributeClassifier(nn.Module):
    """A small convolutional network with one linear head per attribute of ``ATTRIBUTES``.

    Each head has a temperature that calibrates its probabilities (Guo et al., 2017, arXiv 1706.04599).
    """

    temperatures: Tensor

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.width = width
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
        self.heads = nn.ModuleDict({name: nn.Linear(4 * width, len(values)) for name, values in ATTRIBUTES.items()})
        self.register_buffer("temperatures", torch.ones(len(ATTRIBUTES)))

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Calibrated logits.

        Args:
            pictures: ``(n, 3, 64, 64)`` float in [0, 1].

        Returns:
            For each attribute, ``(n, values)``.
        """
        features = self.body(pictures * 2 - 1)
        return [head(features) / self.temperatures[i] for i, head in enumerate(self.heads.values())]

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

    def save(self, folder: Path) -> None:
        """Write weights and config into ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file({k: v.contiguous() for k, v in self.state_dict().items()}, folder / _WEIGHTS)
        (folder / _CONFIG).write_text(json.dumps({"width": self.width}, indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> AttributeClassifier:
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
                "missing); reinstall the package or train it with `python -m training.shapes`."
            ) from error
        model = cls(width=int(config["width"]))
        model.load_state_dict(weights)
        return model.eval()
