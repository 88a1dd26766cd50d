"""How far the outputs of each slot move over the denoising steps of an uncached run."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecad_automl.errors import ScheduleError, StorageError
from ecad_automl.layout import Layout

__all__ = ["Drift"]


@dataclass(frozen=True, eq=False)
class Drift:
    """What one instrumented uncached run says about reuse.

    With ``x[m]`` the raw output of a slot at step ``m`` (before gate and residual add) and ``E`` the mean over images,
    guidance branches, tokens and channels, the distance of two steps is ``E (x[m] - x[n])^2`` divided by the mean of
    ``E x[m]^2`` and ``E x[n]^2``. It is symmetric; 0 for equal outputs, 2 for unrelated ones, at most 4.

    Args:
        slots: names of the slots, in the order of the layout.
        distance: ``(slots, steps, steps)`` float32: error made by reusing the output of one step at another.
        magnitude: ``(slots, steps)`` float32: root of ``E x[m]^2``.

    Raises:
        ScheduleError: the shapes do not fit each other.
    """

    slots: tuple[str, ...]
    distance: NDArray[np.float32]
    magnitude: NDArray[np.float32]

    def __post_init__(self) -> None:
        steps = self.magnitude.shape[-1]
        if self.distance.shape != (len(self.slots), steps, steps) or self.magnitude.shape != (len(self.slots), steps):
            raise ScheduleError(
                f"A drift of {len(self.slots)} slots has distances of the shape {self.distance.shape} and magnitudes "
                f"of {self.magnitude.shape}; (slots, steps, steps) and (slots, steps) are needed."
            )
        for name in ("distance", "magnitude"):
            array = np.array(getattr(self, name), dtype=np.float32)
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    @classmethod
    def from_moments(cls, slots: tuple[str, ...], moved: NDArray[np.float64], power: NDArray[np.float64]) -> Drift:
        """The drift from mean squares.

        Args:
            slots: names of the slots.
            moved: ``(slots, steps, steps)``: ``E (x[m] - x[n])^2``.
            power: ``(slots, steps)``: ``E x[m]^2``.
        """
        scale = (power[:, :, None] + power[:, None, :]) / 2
        distance = np.divide(moved, scale, out=np.zeros_like(moved), where=scale > 0)
        return cls(slots, distance.astype(np.float32), np.sqrt(power).astype(np.float32))

    @property
    def steps(self) -> int:
        """Number of denoising steps."""
        return int(self.magnitude.shape[1])

    def check_fits(self, layout: Layout) -> None:
        """Check that the drift is of a layout's slots.

        Raises:
            ScheduleError: it is not.
        """
        names = tuple(slot.name for slot in layout.slots)
        if names != self.slots:
            raise ScheduleError(
                f"The drift was measured on {len(self.slots)} slots, which are not the {len(names)} slots of "
                f"{layout.transformer}; measure it on this model."
            )

    def to_bytes(self) -> bytes:
        """The drift as a compressed NumPy archive, the inverse of :meth:`from_bytes`."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, slots=np.array(self.slots), distance=self.distance, magnitude=self.magnitude)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Drift:
        """Read what :meth:`to_bytes` wrote.

        Raises:
            StorageError: the bytes are not such an archive.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as archive:
                slots = tuple(str(name) for name in archive["slots"])
                return cls(slots, archive["distance"], archive["magnitude"])
        # A broken archive raises whatever the zip, zlib and NumPy readers raise.
        except Exception as error:
            raise StorageError(
                f"A drift of {len(data)} bytes cannot be read ({type(error).__name__}: {error}); measure it anew."
            ) from error

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Drift):
            return NotImplemented
        return (
            self.slots == other.slots
            and np.array_equal(self.distance, other.distance)
            and np.array_equal(self.magnitude, other.magnitude)
        )

    __hash__ = None  # type: ignore[assignment]
