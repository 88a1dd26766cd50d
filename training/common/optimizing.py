"""Optimizers and moving averages of weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ecad_automl.errors import EcadError

__all__ = ["LEARNING_RATE", "muon_and_adamw", "update_average"]

LEARNING_RATE = 1e-3
_WEIGHT_DECAY = 0.01


def muon_and_adamw(
    model: nn.Module, matrices: Sequence[Tensor], learning_rate: float = LEARNING_RATE
) -> list[torch.optim.Optimizer]:
    """Muon for some matrices of a model, AdamW for all else that is trained, at one learning rate.

    Raises:
        EcadError: this PyTorch has no Muon.
    """
    if not hasattr(torch.optim, "Muon"):
        raise EcadError(
            f"Training needs torch.optim.Muon, which PyTorch {torch.__version__} lacks; install 2.9 or newer."
        )
    inside = {id(weight) for weight in matrices}
    rest = [parameter for parameter in model.parameters() if parameter.requires_grad and id(parameter) not in inside]
    muon = torch.optim.Muon(matrices, lr=learning_rate, weight_decay=_WEIGHT_DECAY, adjust_lr_fn="match_rms_adamw")
    return [muon, torch.optim.AdamW(rest, lr=learning_rate, weight_decay=_WEIGHT_DECAY, betas=(0.9, 0.98))]


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Move the average towards the model's weights, in place."""
    targets, sources = ([p.detach() for p in module.parameters()] for module in (average, model))
    torch._foreach_lerp_(targets, sources, 1 - decay)
