"""How far the outputs of each slot move over the denoising steps of an uncached run."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecad_automl.errors import ScheduleError, StorageError
from ecad_automl.files.arrays import read_arrays
from ecad_automl.schedules.layout import Layout

_ARRAYS = ("distance", "magnitude", "output", "output_magnitude", "response", "guidance", "guidance_magnitude")


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
        output: ``(steps, steps)`` float32: the distance of what the whole transformer gives at two steps; None in
            drifts that earlier versions have measured.
        output_magnitude: ``(steps,)`` float32: root of its mean square at each step; None likewise.
        response: ``(steps,)`` float32: how far the last latents move where the transformer's output at a step does, by
            the scheduler alone, see
            :func:`~ecad_automl.runtime.scheduler_response.scheduler_response`; None where not known.
        no_response: why there is no response; empty where there is one, and in drifts of earlier versions.
        guidance: ``(steps, steps)`` float32: the distance of the differences of both guidance branches at two steps;
            None where there are not two, and in drifts of earlier versions.
        guidance_magnitude: ``(steps,)`` float32: root of its mean square at each step; None likewise.

    Raises:
        ScheduleError: the shapes do not fit each other.
    """

    slots: tuple[str, ...]
    distance: NDArray[np.float32]
    magnitude: NDArray[np.float32]
    output: NDArray[np.float32] | None = None
    output_magnitude: NDArray[np.float32] | None = None
    response: NDArray[np.float32] | None = None
    no_response: str = ""
    guidance: NDArray[np.float32] | None = None
    guidance_magnitude: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        steps = self.magnitude.shape[-1]
        if self.distance.shape != (len(self.slots), steps, steps) or self.magnitude.shape != (len(self.slots), steps):
            raise ScheduleError(
                f"A drift of {len(self.slots)} slots has distances of the shape {self.distance.shape} and magnitudes "
                f"of {self.magnitude.shape}; (slots, steps, steps) and (slots, steps) are needed."
            )
        square, line = (steps, steps), (steps,)
        for name, shape in zip(_ARRAYS[2:], (square, line, line, square, line), strict=True):
            array = getattr(self, name)
            if array is not None and array.shape != shape:
                raise ScheduleError(f"A drift over {steps} steps has the {name} {array.shape}; {shape} is needed.")
        for name in _ARRAYS:
            if getattr(self, name) is not None:
                array = np.array(getattr(self, name), dtype=np.float32)
                array.setflags(write=False)
                object.__setattr__(self, name, array)

    @classmethod
    def from_moments(
        cls,
        slots: tuple[str, ...],
        moved: NDArray[np.float64],
        power: NDArray[np.float64],
        response: NDArray[np.float64] | None = None,
        no_response: str = "",
        guidance: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
    ) -> Drift:
        """The drift from mean squares.

        Args:
            slots: names of the slots.
            moved: ``(slots, steps, steps)``: ``E (x[m] - x[n])^2``; one row more where the transformer's output follows
                the slots.
            power: ``(slots, steps)``, or one row more: ``E x[m]^2``.
            response: ``(steps,)``, see the class.
            no_response: see the class.
            guidance: ``(steps, steps)`` and ``(steps,)``: the same of the difference of both guidance branches.
        """
        if guidance is not None:
            moved = np.concatenate([moved, guidance[0][None]])
            power = np.concatenate([power, guidance[1][None]])
        scale = (power[:, :, None] + power[:, None, :]) / 2
        distance = np.divide(moved, scale, out=np.zeros_like(moved), where=scale > 0).astype(np.float32)
        of_guidance = () if guidance is None else (distance[-1], np.sqrt(power[-1]).astype(np.float32))
        if guidance is not None:
            distance, power = distance[:-1], power[:-1]
        count = len(slots)
        return cls(
            slots,
            distance[:count],
            np.sqrt(power[:count]).astype(np.float32),
            distance[count] if len(distance) > count else None,
            np.sqrt(power[count]).astype(np.float32) if len(power) > count else None,
            None if response is None else response.astype(np.float32),
            no_response,
            *of_guidance,
        )

    def expected_error(self) -> NDArray[np.float64]:
        """What reuse is expected to do to the image, in proportion: the distances, weighted.

        Slots that are reused together move the transformer's output by far less, or more, than their own distances add
        up to, and this differs from step to step. So distances are scaled: over all slots, their mean is the distance
        of the output. And steps count by the root of the scheduler's response, half way between equal weights and those
        that would hold if later steps did nothing about the errors of earlier ones. On the bundled model the sum ranks
        evaluated schedules of nearly equal cost at 0.83, that of the distances at 0.74
        (``benchmarks/search/surrogate_models.py``).

        Returns:
            ``(slots, steps, steps)``: of using, at the first step, the output of the second. What is not known of an
            older drift counts as alike.
        """
        error = self.distance.astype(np.float64)
        if self.output is not None:
            mean = error.mean(axis=0)
            error *= np.divide(self.output, mean, out=np.zeros_like(mean), where=mean > 0)
        error *= self.step_weights(0.5)[None, :, None]
        return error

    def step_weights(self, power: float) -> NDArray[np.float64]:
        """``(steps,)``: a power of the scheduler's response, 1 on average; all 1 where it is not known."""
        if self.response is None or not self.response.any():
            return np.ones(self.steps)
        weights = np.abs(self.response.astype(np.float64)) ** power
        found: NDArray[np.float64] = weights / weights.mean()
        return found

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
        arrays = {name: getattr(self, name) for name in _ARRAYS if getattr(self, name) is not None}
        if self.no_response:
            arrays["no_response"] = np.array(self.no_response)
        np.savez_compressed(buffer, slots=np.array(self.slots), **arrays)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Drift:
        """Read what :meth:`to_bytes` wrote.

        Raises:
            StorageError: the bytes are not such an archive.
        """
        try:
            archive = read_arrays(data)
            slots = tuple(str(name) for name in archive["slots"])
            known = {name: archive[name] for name in _ARRAYS if name in archive}
            return cls(slots, **known, no_response=str(archive.get("no_response", "")))
        # Arrays of other kinds than a drift's fail in many ways.
        except Exception as error:
            raise StorageError(
                f"A drift of {len(data)} bytes cannot be read ({type(error).__name__}: {error}); measure it anew."
            ) from error

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Drift):
            return NotImplemented
        pairs = ((getattr(self, name), getattr(other, name)) for name in _ARRAYS)
        return self.slots == other.slots and all(
            one is other if one is None or other is None else np.array_equal(one, other) for one, other in pairs
        )

    __hash__ = None  # type: ignore[assignment]
