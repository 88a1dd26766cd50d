"""The front on prompts and seeds that the search never saw: what was scored there, and what it says of the front.

Imports neither torch nor Optuna; scoring itself is :mod:`studies.confirmation.run`.
"""

from __future__ import annotations

from studies.confirmation._stored import (
    Confirmation,
    check_unseen,
    load_confirmation,
    sample_key,
    uncached_genome,
)
from studies.confirmation._verdicts import Run, Verdict, Verdicts, front_share, judge, mean_optimism

__all__ = [
    "Confirmation",
    "Run",
    "Verdict",
    "Verdicts",
    "check_unseen",
    "front_share",
    "judge",
    "load_confirmation",
    "mean_optimism",
    "sample_key",
    "uncached_genome",
]
