"""The problems of earlier searches, by the reward ``shapes``; the test beds are in :mod:`benchmarks.search.beds`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ecad_automl.judging.evaluation import Evaluator
    from ecad_automl.schedules.layout import Layout

__all__ = ["LANDSCAPES", "Landscape", "Split", "load"]

#: Prompts of the searches, or held-out ones.
Split = Literal["calibration", "held-out"]


@dataclass(frozen=True)
class Landscape:
    """What a schedule is evaluated on.

    Args:
        prompts: number of prompts.
        seeds: noises of each prompt.
        steps: denoising steps, those of the bundled model if None.
        guidance_scale: that of the bundled model if None.
        scheduler: class in diffusers, that of the bundled model if None.
    """

    prompts: int = 8
    seeds: tuple[int, ...] = (0, 1)
    steps: int | None = None
    guidance_scale: float | None = None
    scheduler: str | None = None

    @property
    def images(self) -> int:
        """Images of one whole evaluation."""
        return self.prompts * len(self.seeds)


#: The searches were tuned on the first. One decision (drift-optimal children left out) was also taken on the second.
#: The third, again with another sampler, step count and guidance, was run once, after the last change to the search.
LANDSCAPES = {
    "shapes": Landscape(),
    "shapes-euler-14": Landscape(steps=14, guidance_scale=4.5, scheduler="EulerDiscreteScheduler"),
    "shapes-unipc-24": Landscape(steps=24, guidance_scale=3.0, scheduler="UniPCMultistepScheduler"),
}


def load(
    landscape: Landscape,
    *,
    split: Split = "calibration",
    prompts: int | None = None,
) -> tuple[Evaluator, Layout]:
    """An evaluator of a landscape, and the slots of its transformer.

    Args:
        landscape: the landscape.
        split: which of the bundled prompts: those of the searches, or held-out ones.
        prompts: how many, those of the landscape if None.
    """
    import diffusers

    from ecad_automl.judging.evaluation import Evaluator
    from ecad_automl.models import load_model, model_layout
    from ecad_automl.rewards import load_reward
    from ecad_automl.shapes.world import prompts as world_prompts

    model = load_model("shapes", device="cpu")
    settings = model.settings
    if landscape.steps is not None:
        settings = replace(settings, steps=landscape.steps)
    if landscape.guidance_scale is not None:
        settings = replace(settings, guidance_scale=landscape.guidance_scale)
    if landscape.scheduler is not None:
        model.pipe.scheduler = getattr(diffusers, landscape.scheduler).from_config(model.pipe.scheduler.config)
    evaluator = Evaluator(
        model.pipe,
        world_prompts(split, prompts or landscape.prompts),
        list(landscape.seeds),
        load_reward("shapes"),
        settings,
        batch_size=landscape.images,
    )
    return evaluator, model_layout(replace(model, settings=settings))
