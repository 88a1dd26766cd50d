"""The test beds: bundled models with a sampler, the captions of searches and held-out ones, and what is scored.

Methods are told apart on held-out captions under two noises, by :mod:`benchmarks.search.protocol`. The main figure is
fidelity to the uncached image, in the features of the model's classifier and in pixels; that the caption still holds is
scored by raw margins beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

    from ecad_automl.judging.evaluation import Evaluator
    from ecad_automl.models import LoadedModel
    from ecad_automl.schedules.layout import Layout

__all__ = ["BEDS", "Bed", "Figures", "load_bed", "model_of", "score"]

Floats = NDArray[np.float64]
Split = Literal["calibration", "held-out"]


@dataclass(frozen=True)
class Bed:
    """What methods are compared on.

    Args:
        model: name of the bundled model.
        steps: denoising steps, those of the model if None.
        guidance_scale: that of the model if None.
        scheduler: class in diffusers, that of the model if None.
        extra: further arguments of the pipeline's call.
        calls: of the transformer in each step.
        guided: whether it computes two branches for guidance.
        captions: of a search.
        noises: of each caption in a search; held-out captions have others.
        last: whether it decides nothing: it is run once, when all else is settled.
    """

    model: str = "shapes"
    steps: int | None = None
    guidance_scale: float | None = None
    scheduler: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    calls: int = 1
    guided: bool = True
    captions: int = 16
    noises: tuple[int, ...] = (0,)
    last: bool = False

    @property
    def reward(self) -> str:
        """Name of the main figure."""
        return f"{self.model}-fidelity"

    @property
    def margin(self) -> str:
        """Name of the metric of captions."""
        return f"{self.model}-margin"


BEDS = {
    "shapes": Bed(),
    "shapes-euler-14": Bed(steps=14, guidance_scale=4.5, scheduler="EulerDiscreteScheduler"),
    "flow-shapes": Bed("flow-shapes", guided=False),
    "flow-shapes-guided-20": Bed(
        "flow-shapes", steps=20, extra={"true_cfg_scale": 2.0, "negative_prompt": ""}, calls=2, last=True
    ),
}

#: Noises of held-out captions.
HELD_OUT_NOISES = (7, 8)


@dataclass(frozen=True)
class Figures:
    """What the images of a run are worth, each ``(captions, noises)``.

    Args:
        loss: distance to the uncached images, from 0; see :class:`~ecad_automl.rewards.shapes.ShapesFidelity`.
        psnr: to the uncached images, in dB.
        margin: above 0 where all that the caption says is right.
    """

    loss: Floats
    psnr: Floats
    margin: Floats

    def to_json(self) -> dict[str, list[list[float]]]:
        """As it is kept."""
        return {name: values.round(5).tolist() for name, values in vars(self).items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Sequence[Sequence[float]]]) -> Figures:
        """Read what :meth:`to_json` gave."""
        return cls(**{name: np.array(values) for name, values in data.items()})


def model_of(bed: Bed) -> LoadedModel:
    """The model of a bed with its sampler, called as the bed says."""
    from ecad_automl.models import load_model

    model = load_model(bed.model, device="cpu").with_scheduler(bed.scheduler)
    model = model.with_settings(steps=bed.steps, guidance_scale=bed.guidance_scale)
    return replace(model, settings=replace(model.settings, extra={**model.settings.extra, **bed.extra}))


def load_bed(
    bed: Bed, *, split: Split, captions: int, noises: Sequence[int], after: int = 0
) -> tuple[Evaluator, Layout]:
    """An evaluator of a bed, and the slots of its transformer.

    Args:
        bed: the bed.
        split: captions of searches, or held-out ones.
        captions: how many.
        noises: of each.
        after: how many captions to leave out at the beginning.
    """
    from ecad_automl.bundled import BUNDLED
    from ecad_automl.judging.evaluation import Evaluator
    from ecad_automl.models import model_layout
    from ecad_automl.rewards import load_reward

    model = model_of(bed)
    evaluator = Evaluator(
        model.pipe,
        BUNDLED[bed.model].prompts(split, after + captions)[after:],
        list(noises),
        load_reward(bed.reward),
        model.settings,
        batch_size=16,
        metrics={name: load_reward(name) for name in ("psnr", bed.margin)},
    )
    return evaluator, model_layout(model)


def score(evaluator: Evaluator, images: Tensor) -> Figures:
    """Figures of images of all captions and noises of an evaluator, by caption, then noise."""
    captions = [caption for caption in evaluator.prompts for _ in evaluator.seeds]
    found = []
    for scorer in (evaluator.reward, *evaluator.metrics.values()):
        if hasattr(scorer, "score_pairs"):
            scores = scorer.score_pairs(images, evaluator.reference_images, captions)
        else:
            scores = scorer.score(images, captions)
        found.append(np.asarray(scores, dtype=np.float64).reshape(len(evaluator.prompts), -1))
    return Figures(-found[0], found[1], found[2])
