"""The metrics of a comparison, and what each of them needs: the image, the uncached one, latents, or all images."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ecad_automl.errors import EvaluationError, RewardError
from ecad_automl.files.weights import Weights
from ecad_automl.rewards.protocol import Floats, PairedReward, Reward, check_scores, higher_is_better, weights_of

if TYPE_CHECKING:
    from torch import Tensor

    from ecad_automl.metrics import InceptionFeatures

#: The run that all others are compared with.
UNCACHED = "uncached"

FID = "fid"
LATENT_DISTANCE = "latent-distance"


#: What is found of ``n`` images: scores ``(n,)`` and vectors ``(n, d)``, by metric.
Judged = tuple[dict[str, Floats], dict[str, NDArray[np.float32]]]


@dataclass(frozen=True)
class Made:
    """Images of one call, ``(n, 3, h, w)`` in [0, 1], and their latents where these are compared."""

    images: Tensor
    latents: Tensor | None = None


@dataclass(frozen=True)
class Judge:
    """Metrics by name.

    Args:
        rewards: metrics of single images, or of pairs with the uncached one.
        extractors: of metrics of sets.
        latents: whether the distance of latents is measured.
    """

    rewards: Mapping[str, Reward | PairedReward] = field(default_factory=dict)
    extractors: Mapping[str, InceptionFeatures] = field(default_factory=dict)
    latents: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """All metrics."""
        return (*self.rewards, *((LATENT_DISTANCE,) if self.latents else ()), *self.extractors)

    def key(self, name: str) -> str:
        """What a metric's values are kept under: its name, and of what weights they come."""
        return " ".join([name, *(each.digest[:16] for each in self.weights().get(name, ()))])

    def weights(self) -> dict[str, tuple[Weights, ...]]:
        """The weights of each metric that has some."""
        found = {name: weights_of(scorer) for name, scorer in self.rewards.items()}
        found |= {name: extractor.weights for name, extractor in self.extractors.items()}
        return {name: weights for name, weights in found.items() if weights}

    def higher_is_better(self, name: str) -> bool:
        """Whether larger values of a metric are better."""
        return higher_is_better(self.rewards[name]) if name in self.rewards else False

    def paired(self, name: str) -> bool:
        """Whether a metric needs the uncached image."""
        return name == LATENT_DISTANCE or isinstance(self.rewards.get(name), PairedReward)

    def judge(self, names: Collection[str], prompts: Sequence[str], made: Made, reference: Made | None) -> Judged:
        """Score ``n`` images.

        Args:
            names: by which metrics.
            prompts: ``n`` prompts.
            made: the images.
            reference: the uncached ones, where a metric needs them.

        Raises:
            RewardError: a metric gave something other than a finite number per image.
        """
        from ecad_automl.judging.comparison.latents import latent_distance

        scores: dict[str, Floats] = {}
        for name, reward in self.rewards.items():
            if name not in names:
                continue
            if isinstance(reward, PairedReward):
                assert reference is not None
                found = reward.score_pairs(made.images, reference.images, prompts)
            else:
                found = reward.score(made.images, prompts)
            scores[name] = check_scores(name, found, len(prompts))
        if LATENT_DISTANCE in names:
            assert reference is not None
            assert made.latents is not None
            assert reference.latents is not None
            scores[LATENT_DISTANCE] = latent_distance(made.latents, reference.latents)
        wanted = {name: extractor for name, extractor in self.extractors.items() if name in names}
        return scores, {name: extractor.features(made.images) for name, extractor in wanted.items()}


def load_judge(names: Sequence[str], *, device: str | None = None) -> Judge:
    """Metrics by their names.

    Args:
        names: of rewards (see :func:`~ecad_automl.rewards.load_reward`), ``latent-distance``, ``fid`` or ``fid=PATH``
            with the weights of its network.
        device: torch device of the models among them.

    Raises:
        EvaluationError: there are none, or one is named twice.
        RewardError: a metric is unknown or cannot be loaded.
    """
    from ecad_automl.rewards.registry import load_reward

    if not names:
        raise EvaluationError("There is no metric; name at least one, such as --metrics fidelity.")
    if repeated := next((name for name in names if list(names).count(name) > 1), None):
        raise EvaluationError(f"The metric {repeated!r} is named twice; name each once.")
    rewards: dict[str, Reward | PairedReward] = {}
    extractors: dict[str, InceptionFeatures] = {}
    kinds = [name.partition("=")[0] for name in names]
    for name, kind in zip(names, kinds, strict=True):
        # Which weights a metric has is told beside it; a name need say it only where there are several of a kind.
        called = kind if kinds.count(kind) == 1 else name
        if kind == FID:
            from ecad_automl.metrics import InceptionFeatures

            extractors[called] = InceptionFeatures(name.partition("=")[2] or None, device=device)
        elif name != LATENT_DISTANCE:
            rewards[called] = load_reward(name, device=device)
    if len(extractors) > 1:
        raise RewardError(f"FID is asked for with several weights ({', '.join(extractors)}); choose one.")
    return Judge(rewards, extractors, LATENT_DISTANCE in names)
