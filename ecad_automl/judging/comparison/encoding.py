"""Prompts are encoded once; then the text encoders leave the device to what is run many times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ecad_automl.models.generation import GenerationSettings, encode_prompts, takes_embeddings
from ecad_automl.models.memory import is_offloaded, running_device


class PromptEncoder:
    """Encodes prompts with a pipeline's text encoders, which are away from it between times.

    The encoders of pipelines that are given texts stay where they are, since these encode in their call, and those of
    offloaded pipelines go by themselves.
    """

    def __init__(self, pipe: Any, settings: GenerationSettings) -> None:
        self._pipe = pipe
        self._settings = settings
        self._device = running_device(pipe)
        self._encoders: dict[str, torch.nn.Module] = {}
        if takes_embeddings(pipe) and not is_offloaded(pipe):
            self._encoders = {
                name: module
                for name, module in pipe.components.items()
                if name.startswith("text_encoder") and isinstance(module, torch.nn.Module)
            }

    def encode(self, prompts: Sequence[str]) -> list[dict[str, Any]]:
        """Prepared prompts, see :func:`~ecad_automl.models.generation.encode_prompts`; tensors are on the CPU."""
        self.attach()
        encoded = [
            {name: value.cpu() if isinstance(value, torch.Tensor) else value for name, value in prompt.items()}
            for prompt in encode_prompts(self._pipe, prompts, self._settings)
        ]
        self._detach()
        return encoded

    def on_device(self, encoded: Mapping[str, Any]) -> dict[str, Any]:
        """A prepared prompt for a call."""
        return {
            name: value.to(self._device) if isinstance(value, torch.Tensor) else value
            for name, value in encoded.items()
        }

    def attach(self) -> None:
        """Put the encoders back."""
        for name, module in self._encoders.items():
            setattr(self._pipe, name, module.to(self._device))

    def _detach(self) -> None:
        # A pipeline is where its first component is, so it must not have an encoder elsewhere.
        for name, module in self._encoders.items():
            setattr(self._pipe, name, None)
            module.to("cpu")
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
