"""Conditions that a schedule must meet to count: a bound on the mean score of a metric."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from ecad_automl.errors import RewardError

_FORM = re.compile(r"(?P<metric>[^<>]+?)\s*(?P<sign>>=|<=)\s*(?P<bound>[^\s<>]+)")


@dataclass(frozen=True)
class Constraint:
    """``metric >= bound``, or ``metric <= bound``, of the mean over all images.

    Args:
        metric: what is measured, a name as for :func:`~ecad_automl.rewards.load_reward`.
        at_least: whether the bound is a lower one.
        bound: in the unit of the metric.
    """

    metric: str
    at_least: bool
    bound: float

    def __str__(self) -> str:
        return f"{self.metric}{'>=' if self.at_least else '<='}{self.bound:g}"

    def slack(self, mean: float) -> float:
        """How far a mean is inside the bound; below 0 outside."""
        return mean - self.bound if self.at_least else self.bound - mean


def parse_constraint(text: str) -> Constraint:
    """A constraint from such as ``fidelity>=-0.05``.

    Raises:
        RewardError: the text is something else.
    """
    match = _FORM.fullmatch(text.strip())
    try:
        bound = float(match["bound"]) if match else math.nan
    except ValueError:
        bound = math.nan
    if match is None or not math.isfinite(bound):
        raise RewardError(
            f"The constraint {text!r:.200} cannot be read; write a metric, >= or <=, and a number, such as "
            "fidelity>=-0.05."
        )
    return Constraint(match["metric"], match["sign"] == ">=", bound)
