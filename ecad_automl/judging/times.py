"""Times of a run beside the uncached run, told no more exactly than they are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Times:
    """Seconds of a run beside those of the uncached run, taken in turn.

    Args:
        seconds: at least one.
        uncached: those of the same turns; more or fewer where one of them has fewer turns.
    """

    seconds: tuple[float, ...]
    uncached: tuple[float, ...]

    @property
    def median(self) -> float:
        """Seconds of the run."""
        return float(np.median(self.seconds))

    @property
    def ratios(self) -> list[float]:
        """How many times as fast as uncached, in each turn; empty where there was one only, which tells nothing."""
        found = [full / mine for mine, full in zip(self.seconds, self.uncached, strict=False)]
        return found if len(found) > 1 else []

    @property
    def speedup(self) -> float | None:
        """The median of :attr:`ratios`; None where there are none."""
        return float(np.median(self.ratios)) if self.ratios else None

    @property
    def speedup_range(self) -> tuple[float, float] | None:
        """The least and the most of :attr:`ratios`; None where there are none."""
        return (min(self.ratios), max(self.ratios)) if self.ratios else None

    @property
    def told(self) -> str:
        """Such as ``1.2 s (median of 3 runs)``."""
        runs = "run once" if len(self.seconds) == 1 else f"median of {len(self.seconds)} runs"
        return f"{float(f'{self.median:.2g}'):g} s ({runs})"

    @property
    def speedup_figures(self) -> tuple[str, str, str] | None:
        """The speedup, the least and the most, with a second digit only where these lie close; None where unknown."""
        if self.speedup is None or self.speedup_range is None:
            return None
        low, high = self.speedup_range
        digits = 1 if high - low >= 0.1 else 2
        return f"{self.speedup:.{digits}f}x", f"{low:.{digits}f}", f"{high:.{digits}f}"

    @property
    def speedup_told(self) -> str:
        """Such as ``1.9x as fast (1.7 to 2.1, 3 runs each)``; empty where there was one turn."""
        if self.speedup_figures is None:
            return ""
        speedup, low, high = self.speedup_figures
        return f"{speedup} as fast ({low} to {high}, {len(self.ratios)} runs each)"

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        return {
            "seconds": self.median,
            "times_measured": len(self.seconds),
            "speedup": self.speedup,
            "speedup_range": self.speedup_range,
        }
