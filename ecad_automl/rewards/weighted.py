"""Weighted sums of rewards, and how they are written: ``0.8*image-reward+0.2*clip``."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ecad_automl.errors import RewardError
from ecad_automl.files.weights import Weights
from ecad_automl.rewards.protocol import Floats, PairedReward, Reward, check_scores, higher_is_better, weights_of

if TYPE_CHECKING:
    from torch import Tensor

_TERM = re.compile(r"(?P<minus>-)?\s*(?:(?P<weight>[0-9.][0-9.eE-]*)\s*\*)?\s*(?P<name>[^\s*-][^*]*)")


@dataclass(frozen=True)
class Term:
    """One term of a sum as it is written.

    Args:
        name: of the reward, with what follows "=".
        weight: above 0.
        minus: whether a minus sign stands before it.
    """

    name: str
    weight: float = 1.0
    minus: bool = False

    def __str__(self) -> str:
        factor = "" if self.weight == 1 else f"{_written(self.weight)}*"
        return f"{'-' if self.minus else ''}{factor}{self.name}"


def parse_sum(expression: str) -> list[Term]:
    """The terms of ``0.8*image-reward+0.2*clip=openai/clip-vit-base-patch32``.

    "+" separates terms wherever it stands, so no path may hold one. A hyphen is part of a name; at the beginning of a
    term it is a minus sign.

    Raises:
        RewardError: a term is empty or malformed, or a weight is not above 0.
    """
    return [_parse_term(text.strip(), expression) for text in expression.split("+")]


def _parse_term(text: str, expression: str) -> Term:
    found = _TERM.fullmatch(text)
    if found is None:
        raise RewardError(
            f"The term {text!r:.200} of the reward {expression!r:.200} cannot be read; terms are written as name, or "
            "weight*name, and joined by +, as in 0.8*image-reward+0.2*clip. A + inside a path is not supported."
        )
    written = found["weight"]
    try:
        weight = 1.0 if written is None else float(written)
    except ValueError:
        weight = math.nan
    if not 0 < weight < math.inf:
        raise RewardError(
            f"The weight {written!r:.60} of {found['name']!r:.200} in the reward {expression!r:.200} is no number "
            "above 0; leave out what is not to count. Distances count negatively by themselves."
        )
    return Term(found["name"], weight, found["minus"] is not None)


def weigh(terms: Sequence[tuple[Term, Reward | PairedReward]]) -> WeightedReward | WeightedPairedReward:
    """The sum; it needs references if one of its terms does.

    Raises:
        RewardError: a reward of which more is better stands with a minus sign.
    """
    paired = any(isinstance(reward, PairedReward) for _, reward in terms)
    return (WeightedPairedReward if paired else WeightedReward)(terms)


def maximized(reward: Reward | PairedReward) -> Reward | PairedReward:
    """What a search maximizes: the reward itself, or minus it if it is a distance (``-lpips``)."""
    return reward if higher_is_better(reward) else weigh([(Term(reward.name), reward)])


class _Sum:
    """A weighted sum of which more is better: distances count negatively, whether their minus sign is written or not.

    Raises:
        RewardError: a reward of which more is better stands with a minus sign.
    """

    higher_is_better = True

    def __init__(self, terms: Sequence[tuple[Term, Reward | PairedReward]]) -> None:
        self._parts: list[tuple[float, Reward | PairedReward]] = []
        names = []
        for term, reward in terms:
            better = higher_is_better(reward)
            if term.minus and better:
                raise RewardError(
                    f"The reward {term.name!r} stands with a minus sign, but more of it is better and a search "
                    "maximizes; leave the sign out."
                )
            names.append(str(Term(term.name, term.weight, not better)))
            self._parts.append((term.weight if better else -term.weight, reward))
        self.name = "+".join(names)

    @property
    def weights(self) -> tuple[Weights, ...]:
        """Those of all terms, each once."""
        return tuple(dict.fromkeys(weights for _, reward in self._parts for weights in weights_of(reward)))

    def _total(self, images: Tensor, references: Tensor | None, prompts: Sequence[str]) -> Floats:
        total = np.zeros(len(prompts))
        for weight, reward in self._parts:
            if isinstance(reward, PairedReward):
                assert references is not None
                scores = reward.score_pairs(images, references, prompts)
            else:
                scores = reward.score(images, prompts)
            total += weight * check_scores(reward.name, scores, len(prompts))
        return total


class WeightedReward(_Sum):
    """A weighted sum of rewards that judge images by themselves; see :func:`weigh`."""

    def score(self, images: Tensor, prompts: Sequence[str]) -> Floats:
        """See :class:`~ecad_automl.rewards.protocol.Reward`.

        Raises:
            RewardError: a term gives something other than one finite number per image.
        """
        return self._total(images, None, prompts)


class WeightedPairedReward(_Sum):
    """A weighted sum of rewards some of which compare with the uncached images; see :func:`weigh`."""

    def score_pairs(self, images: Tensor, references: Tensor, prompts: Sequence[str]) -> Floats:
        """See :class:`~ecad_automl.rewards.protocol.PairedReward`.

        Raises:
            RewardError: a term gives something other than one finite number per image.
        """
        return self._total(images, references, prompts)


def _written(number: float) -> str:
    """The shortest form that reads back as the same number and has no "+"."""
    return repr(number).removesuffix(".0").replace("e+", "e")
