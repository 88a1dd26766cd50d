"""How many images a call makes: found by trying, where nobody says."""

from __future__ import annotations

from ecad_automl.errors import EvaluationError


class BatchSize:
    """Doubles after each batch that fits, until one does not; from then on it only shrinks.

    Args:
        size: images of the first call.
        limit: most images of a call; with ``limit == size`` the size is fixed, but still halved where it does not fit.

    Raises:
        EvaluationError: the size is below 1, or above the limit.
    """

    def __init__(self, size: int, limit: int | None = None) -> None:
        self._limit = size if limit is None else limit
        if not 1 <= size <= self._limit:
            raise EvaluationError(
                f"The batch size is {size} of at most {self._limit}; at least 1 image per call is needed."
            )
        #: Images of the next call.
        self.size = size

    def fitted(self) -> None:
        """A whole batch of this size went through."""
        self.size = min(2 * self.size, self._limit)

    def did_not_fit(self) -> None:
        """The device had too little memory.

        Raises:
            EvaluationError: for a single image.
        """
        if self.size == 1:
            raise EvaluationError(
                "The device has too little memory for a single image; free memory, or use a smaller size or dtype."
            )
        self.size //= 2
        self._limit = self.size
