"""How far a sampler carries an error of the transformer at one step into the last latents; no image is made."""

from __future__ import annotations

import copy
import inspect
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["scheduler_response"]

#: Latents that the sampler is run on: many enough for what it does to single values to average out.
_SHAPE = (1, 4, 8, 8)


def scheduler_response(
    scheduler: Any, steps: int, arguments: tuple[tuple[Any, ...], dict[str, Any]]
) -> NDArray[np.float64] | None:
    """How far the last latents move for a unit change of the transformer's output at each step.

    A copy of the scheduler steps through a run on outputs that are all zero, and again with one step's output changed
    by 1. How the transformer would react to the changed latents is left out.

    Args:
        scheduler: of a diffusers pipeline; it does not change.
        steps: forwards of a run.
        arguments: by position and by name, with which the pipeline calls ``set_timesteps``.

    Returns:
        ``(steps,)``, not negative; None where the scheduler cannot be run like that.
    """
    try:
        still = _last_latents(scheduler, steps, arguments, None)
        moved = [_last_latents(scheduler, steps, arguments, changed) - still for changed in range(steps)]
    # Schedulers of any make, called outside of a pipeline, raise whatever they like.
    except Exception:  # noqa: BLE001
        return None
    response = np.array([float(difference.abs().mean()) for difference in moved])
    return response if np.isfinite(response).all() and response.any() else None


def _last_latents(
    scheduler: Any, steps: int, arguments: tuple[tuple[Any, ...], dict[str, Any]], changed: int | None
) -> Tensor:
    runner = copy.deepcopy(scheduler)
    runner.set_timesteps(*arguments[0], **{**arguments[1], "device": "cpu"})
    generator = torch.Generator("cpu").manual_seed(0)
    latents = torch.randn(_SHAPE, generator=generator, dtype=torch.float64)
    # Those that draw noise must draw the same with and without the change.
    draws = {"generator": generator} if "generator" in inspect.signature(runner.step).parameters else {}
    for step, timestep in enumerate(runner.timesteps[:steps]):
        if hasattr(runner, "scale_model_input"):
            runner.scale_model_input(latents, timestep)
        output = torch.full_like(latents, 1.0 if step == changed else 0.0)
        latents = runner.step(output, timestep, latents, return_dict=False, **draws)[0]
    return latents
