"""A scheduler for each pipeline that calls the transformer more often than it is asked for."""

from __future__ import annotations

from typing import Any, NamedTuple

from diffusers import FlowMatchHeunDiscreteScheduler, HeunDiscreteScheduler, SchedulerMixin

__all__ = ["NO_SIGMAS", "SecondOrder", "second_order"]

NO_SIGMAS = "no second-order scheduler of diffusers takes the `sigmas` that the pipeline sets"


class SecondOrder(NamedTuple):
    """A second-order scheduler.

    Args:
        scheduler: the scheduler; None where none can do.
        why_not: why the pipeline takes none that diffusers has; None where it takes this one.
        refusal: what errors of those say.
    """

    scheduler: SchedulerMixin | None
    why_not: str | None = None
    refusal: str = ""


class _HeunWithSigmas(FlowMatchHeunDiscreteScheduler):
    """Of the sigmas that a pipeline sets, only their number is taken: the least that a user can do to run it."""

    def set_timesteps(self, num_inference_steps: int | None = None, device: Any = None, **sigmas: Any) -> None:
        super().set_timesteps(len(sigmas["sigmas"]) if num_inference_steps is None else num_inference_steps, device)


_EPSILON = {"PixArtAlphaPipeline", "PixArtSigmaPipeline", "HunyuanDiTPipeline", "DiTPipeline"}
_FLOW = {
    "StableDiffusion3Pipeline",
    "AuraFlowPipeline",
    "SanaPipeline",
    "WanPipeline",
    "WanImageToVideoPipeline",
    "LoopPipeline",
}


def second_order(pipe: Any) -> SecondOrder:
    """The scheduler for a pipeline; one of our own where it takes none of diffusers."""
    name = type(pipe).__name__
    if name in _EPSILON:
        return SecondOrder(HeunDiscreteScheduler())
    if name == "CogVideoXPipeline":
        return SecondOrder(HeunDiscreteScheduler(prediction_type="v_prediction"))
    if name in _FLOW:
        return SecondOrder(FlowMatchHeunDiscreteScheduler())
    if name == "HiDreamImagePipeline":
        return SecondOrder(_HeunWithSigmas(), "no second-order scheduler of diffusers takes its `mu`", "mu")
    if name == "SanaSprintPipeline":
        return SecondOrder(None, "the pipeline samples by `SCMScheduler` alone", "max_timesteps")
    return SecondOrder(_HeunWithSigmas(), NO_SIGMAS, "sigma")
