"""How far a schedule leads the last latents away from those of the uncached run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ecad_automl.schedule import Schedule

if TYPE_CHECKING:
    from torch import Tensor

    from ecad_automl.evaluation import Evaluator

__all__ = ["LatentError"]


class LatentError:
    """Measures the error on some of an evaluator's images; nothing is decoded or scored.

    Args:
        evaluator: whose prompts, noises, pipeline and settings are used.
        images: how many, spread evenly over its prompts and noises.
    """

    def __init__(self, evaluator: Evaluator, images: int) -> None:
        from ecad_automl.generation import encode_prompts

        self._pipe, self._settings = evaluator.pipe, evaluator.settings
        items = [(prompt, seed) for prompt in range(len(evaluator.prompts)) for seed in evaluator.seeds]
        chosen = [items[i] for i in np.linspace(0, len(items) - 1, images).round().astype(int)]
        prompts = [evaluator.prompts[prompt] for prompt, _ in chosen]
        self._prompts = encode_prompts(self._pipe, prompts, self._settings)
        self._seeds = [seed for _, seed in chosen]
        self._uncached = self._run()

    def __call__(self, schedule: Schedule) -> float:
        """Mean square of the difference, divided by the mean square of the uncached latents."""
        from ecad_automl.runtime import apply_schedule

        with apply_schedule(self._pipe, schedule):
            latents = self._run()
        return float((latents - self._uncached).square().mean() / self._uncached.square().mean())

    def _run(self) -> Tensor:
        import torch

        from ecad_automl.generation import stack_prompts

        generators = [torch.Generator("cpu").manual_seed(seed) for seed in self._seeds]
        arguments = stack_prompts(self._prompts) | self._settings.call_arguments()
        self._pipe.set_progress_bar_config(disable=True)
        with torch.no_grad():
            latents: Tensor = self._pipe(**arguments, generator=generators, output_type="latent").images
        return latents.double()
