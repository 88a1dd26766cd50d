"""Random weights of Inception v3 under which features of different images differ."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from ecad_automl.metrics.inception import InceptionV3

__all__ = ["save_inception"]


def save_inception(file: Path) -> Path:
    """Write a state dict, and give its path."""
    generator = torch.Generator().manual_seed(0)
    network = InceptionV3()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
        elif isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(std=0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    torch.save(network.state_dict(), file)
    return file
