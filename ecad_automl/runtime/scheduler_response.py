"""How far a scheduler carries an error of the transformer at one step into the last latents; no image is made."""

from __future__ import annotations

import copy
import inspect
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ecad_automl.errors import EvaluationError
from ecad_automl.runtime.step_counts import forwards_of

#: Latents that the scheduler is run on: many enough for what it does to single values to average out.
_SHAPE = (1, 4, 8, 8)

#: Below this share there is no signal to speak of.
_NO_SIGNAL = 1e-6

#: What schedulers of diffusers raise that do not step from latents and outputs alone: they lack a method, want other
#: arguments or shapes, or look up what a pipeline sets.
_NOT_ALONE = (AttributeError, LookupError, RuntimeError, TypeError, ValueError)


def scheduler_response(
    scheduler: Any, steps: int, arguments: tuple[tuple[Any, ...], dict[str, Any]]
) -> NDArray[np.float64]:
    """How far the last latents move for a unit change of the transformer's output at each step.

    A copy of the scheduler steps through a run with a simple transformer, and again with one step's output changed by
    1. The transformer reacts to the changed latents. Where signal and noise keep their sum of squares it is the one
    that is best for latents of independent normal values of variance 1, to which pipelines scale theirs; an error
    counts the same whether noise, velocity or the image is predicted. In flow matching it takes the signal for the
    image, so that an early error becomes part of it. That is a choice by trial on captions of searches of the bundled
    models, not a derivation.

    Args:
        scheduler: of a diffusers pipeline; it does not change.
        steps: forwards of a run; what it lacks of all it leaves out at its beginning, as one does that begins with an
            image.
        arguments: by position and by name, with which the pipeline calls ``set_timesteps``.

    Returns:
        ``(steps,)``, not negative.

    Raises:
        EvaluationError: the scheduler cannot be run like that; the message says why.
    """
    try:
        runner = copy.deepcopy(scheduler)
        runner.set_timesteps(*arguments[0], **{**arguments[1], "device": "cpu"})
        left_out = forwards_of(runner) - steps
        still = _last_latents(scheduler, left_out, arguments, None)
        moved = [
            _last_latents(scheduler, left_out, arguments, changed) - still
            for changed in range(left_out, left_out + steps)
        ]
    except _NOT_ALONE as error:
        raise EvaluationError(
            f"{type(scheduler).__name__} cannot be run without its pipeline ({type(error).__name__}: {error})."
        ) from error
    response = np.array([float(difference.abs().mean()) for difference in moved])
    if not np.isfinite(response).all() or not response.any():
        raise EvaluationError(f"{type(scheduler).__name__} moves the latents by nothing or beyond all numbers.")
    return response


def _last_latents(
    scheduler: Any, left_out: int, arguments: tuple[tuple[Any, ...], dict[str, Any]], changed: int | None
) -> Tensor:
    runner = copy.deepcopy(scheduler)
    runner.set_timesteps(*arguments[0], **{**arguments[1], "device": "cpu"})
    generator = torch.Generator("cpu").manual_seed(0)
    latents = torch.randn(_SHAPE, generator=generator, dtype=torch.float64)
    # Those that draw noise must draw the same with and without the change.
    draws = {"generator": generator} if "generator" in inspect.signature(runner.step).parameters else {}
    if left_out and hasattr(runner, "set_begin_index"):
        runner.set_begin_index(left_out)
    for step, timestep in enumerate(runner.timesteps[left_out : forwards_of(runner)], start=left_out):
        seen = latents
        if hasattr(runner, "scale_model_input"):
            seen = runner.scale_model_input(latents, timestep)
        output = _output_of_simple(runner, seen, timestep) + (1.0 if step == changed else 0.0)
        latents = runner.step(output, timestep, latents, return_dict=False, **draws)[0]
    return latents


def _output_of_simple(scheduler: Any, latents: Tensor, timestep: Tensor) -> Tensor:
    """What a simple transformer predicts from latents as it gets them."""
    kind = scheduler.config.get("prediction_type", "epsilon")
    if "FlowMatch" in type(scheduler).__name__ or kind == "flow_prediction":
        # Noise less image, where latents are 1 - t parts of image and t of noise; there is nothing to take at t = 1.
        signal = 1.0 - float(timestep) / float(scheduler.config.num_train_timesteps)
        return latents.mul(-1.0 / signal if signal > _NO_SIGNAL else 0.0)
    if not hasattr(scheduler, "alphas_cumprod"):
        return torch.zeros_like(latents)
    # The best guess at the image is a x, at the noise s x, and at v = a e - s x0 (arXiv 2202.00512) therefore nothing.
    power = float(scheduler.alphas_cumprod[round(float(timestep))])
    return latents.mul({"epsilon": (1.0 - power) ** 0.5, "sample": power**0.5}.get(kind, 0.0))
