"""What the transformer gives in an uncached run, and how far a schedule leads its last latents away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecad_automl.schedules.schedule import Schedule

if TYPE_CHECKING:
    from torch import Tensor

    from ecad_automl.judging.evaluation import Evaluator

__all__ = ["LatentError", "output_products"]


def output_products(evaluator: Evaluator, calls: int = 1) -> NDArray[np.float64]:
    """Products of the transformer's outputs at two steps of an uncached run over all images of an evaluator.

    Args:
        evaluator: whose pipeline, captions, noises and settings are used.
        calls: of the transformer in each step.

    Returns:
        ``(steps, steps)``: means over the elements of the outputs.
    """
    import torch

    steps = evaluator.settings.steps
    batch: list[Tensor] = []
    total = np.zeros((steps, steps))
    values = 0

    def keep(_module: object, _args: object, output: Any) -> None:
        nonlocal values
        batch.append(output[0].detach().flatten().double().cpu())
        if len(batch) == steps * calls:
            outputs = torch.cat([torch.stack(batch[call::calls]) for call in range(calls)], dim=1)
            total[:] += (outputs @ outputs.T).numpy()
            values += outputs.shape[1]
            batch.clear()

    with evaluator.pipe.transformer.register_forward_hook(keep):
        evaluator.generate_some(evaluator.images_per_evaluation)
    if batch or not values:
        raise ValueError(f"The transformer was not called {steps * calls} times in each run, {calls} a step.")
    return total / values


class LatentError:
    """Measures the error on some of an evaluator's images; nothing is decoded or scored.

    Args:
        evaluator: whose prompts, noises, pipeline and settings are used.
        images: how many, spread evenly over its prompts and noises.
    """

    def __init__(self, evaluator: Evaluator, images: int) -> None:
        from ecad_automl.models.generation import encode_prompts

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

        from ecad_automl.models.generation import stack_prompts

        generators = [torch.Generator("cpu").manual_seed(seed) for seed in self._seeds]
        arguments = stack_prompts(self._prompts) | self._settings.call_arguments()
        self._pipe.set_progress_bar_config(disable=True)
        with torch.no_grad():
            latents: Tensor = self._pipe(**arguments, generator=generators, output_type="latent").images
        return latents.double()
