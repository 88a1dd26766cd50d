"""Where a comparison keeps what it has found; ``storage.ScoreFile`` is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

#: An image: the number of its prompt, and its seed.
Item = tuple[int, int]


class Ledger(Protocol):
    """Scores and feature vectors by run, metric and image, and times of calls."""

    def known(self, run: str, metric: str) -> set[Item]:
        """The images of a run that have a score or a vector of a metric."""
        ...

    def save(
        self,
        run: str,
        items: Sequence[Item],
        scores: Mapping[str, NDArray[np.float64]],
        features: Mapping[str, NDArray[np.float32]],
    ) -> None:
        """Keep ``(n,)`` scores and ``(n, d)`` vectors of ``n`` images, all or nothing."""
        ...

    def save_time(self, run: str, images: int, seconds: float, created: str) -> None:
        """Keep the time of one call."""
        ...

    def scores(self, run: str, metric: str, items: Sequence[Item]) -> NDArray[np.float64]:
        """``(n,)`` scores of ``n`` images; NaN where one is not known."""
        ...

    def features(self, run: str, metric: str, items: Sequence[Item]) -> NDArray[np.float32]:
        """``(n, d)`` vectors of ``n`` images."""
        ...

    def times(self, run: str) -> list[tuple[int, float]]:
        """Images and seconds of each timed call of a run, oldest first."""
        ...
