"""The rewards of the bundled models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ecad_automl.rewards.fidelity import FidelityReward
from ecad_automl.rewards.protocol import Floats
from ecad_automl.shapes.classifier import AttributeClassifier

#: Chance that the classifier errs whatever it says: bounds the cost of one wrong attribute at about ln(0.01 / 6).
_LAPSE = 0.01
#: Nats that a root mean squared distance of 1.0 to the uncached image costs; caching commonly gives 0.01 to 0.1.
_FIDELITY_WEIGHT = 2.0
#: Added to the length of a feature vector, so that one of zeros has a direction.
_EPSILON = 1e-6


class ShapesCaptionReward:
    """Mean calibrated log-likelihood, in nats per attribute, of the caption's attributes under the classifier.

    0 is best. Probabilities are mixed with a 1 % lapse, so that one hopeless attribute cannot outweigh all others.
    """

    def __init__(self, classifier: AttributeClassifier) -> None:
        self.name = f"{classifier.world}-caption"
        self._classifier = classifier

    @torch.no_grad()
    def score(self, images: Tensor, prompts: Sequence[str]) -> Floats:
        """See :class:`~ecad_automl.rewards.protocol.Reward`.

        Raises:
            PromptError: a prompt is not a caption of the model's world.
        """
        labels = self._classifier.labels(prompts)
        logits = self._classifier(images.float().cpu())
        total = torch.zeros(len(prompts), dtype=torch.float64)
        for index, values in enumerate(logits):
            named = labels[:, index] >= 0
            probabilities = values.double().softmax(-1) * (1 - _LAPSE) + _LAPSE / values.shape[-1]
            chosen = probabilities.gather(1, labels[:, index : index + 1].clamp_min(0))[:, 0]
            total += torch.where(named, chosen.log(), 0.0)
        return np.asarray(total / (labels >= 0).sum(dim=1))


class ShapesMargin:
    """By how much the classifier prefers the caption's attributes to the next best ones, in logits; the least of all.

    Above 0 the picture shows all that its caption says. Unlike a probability it does not saturate, so it tells a
    picture that is barely right from one that is clearly so.
    """

    def __init__(self, classifier: AttributeClassifier) -> None:
        self.name = f"{classifier.world}-margin"
        self._classifier = classifier

    @torch.no_grad()
    def score(self, images: Tensor, prompts: Sequence[str]) -> Floats:
        """See :class:`~ecad_automl.rewards.protocol.Reward`.

        Raises:
            PromptError: a prompt is not a caption of the model's world.
        """
        labels = self._classifier.labels(prompts)
        least = torch.full((len(prompts),), torch.inf, dtype=torch.float64)
        for index, logits in enumerate(self._classifier(images.float().cpu())):
            right = labels[:, index : index + 1].clamp_min(0)
            best_other = logits.scatter(1, right, -torch.inf).amax(dim=1)
            margin = (logits.gather(1, right)[:, 0] - best_other).double()
            least = torch.where(labels[:, index] >= 0, torch.minimum(least, margin), least)
        return np.asarray(least)


class ShapesReward:
    """Caption log-likelihood plus fidelity: what the picture shows, and how close it is to the uncached one."""

    name = "shapes"

    def __init__(self, classifier: AttributeClassifier) -> None:
        self._caption = ShapesCaptionReward(classifier)
        self._fidelity = FidelityReward()

    def score_pairs(self, images: Tensor, references: Tensor, prompts: Sequence[str]) -> Floats:
        """See :class:`~ecad_automl.rewards.protocol.PairedReward`.

        Raises:
            PromptError: a prompt is not a caption of the model's world.
        """
        caption = self._caption.score(images, prompts)
        return caption + _FIDELITY_WEIGHT * self._fidelity.score_pairs(images, references, prompts)


class ShapesFidelity:
    """Minus the root of :func:`perceptual_distance` and minus the root mean squared pixel distance; 0 is the best.

    Roots make both grow as the error does, so that no single image outweighs all others in a mean.
    """

    def __init__(self, classifier: AttributeClassifier) -> None:
        self.name = f"{classifier.world}-fidelity"
        self._classifier = classifier
        self._pixels = FidelityReward()

    @torch.no_grad()
    def score_pairs(self, images: Tensor, references: Tensor, prompts: Sequence[str]) -> Floats:
        """See :class:`~ecad_automl.rewards.protocol.PairedReward`."""
        features = (self._classifier.features(each.float().cpu()) for each in (images, references))
        distance = perceptual_distance(*features)
        found: Floats = self._pixels.score_pairs(images, references, prompts) - np.asarray(distance.sqrt())
        return found


def perceptual_distance(features: Sequence[Tensor], references: Sequence[Tensor]) -> Tensor:
    """How far apart pictures are in the features of a network.

    As in LPIPS (Zhang et al. 2018, arXiv 1801.03924, without learned weights): features are scaled to length 1 over
    channels at every position; squared differences are summed over channels and layers, and averaged over positions.

    Args:
        features: for each layer, ``(n, channels, ...)``.
        references: of the pictures to compare with, alike.

    Returns:
        ``(n,)`` float64, from 0; at most 4 for each layer.
    """
    total = torch.zeros(len(features[0]), dtype=torch.float64, device=features[0].device)
    for made, reference in zip(features, references, strict=True):
        squares = (_unit(made) - _unit(reference)).square().sum(dim=1)
        total += squares.flatten(1).mean(dim=1) if squares.ndim > 1 else squares
    return total


def _unit(features: Tensor) -> Tensor:
    features = features.double()
    return features / (features.square().sum(dim=1, keepdim=True).sqrt() + _EPSILON)
