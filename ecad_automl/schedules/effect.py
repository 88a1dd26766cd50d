"""What a run under given bits really does, and bits as text."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecad_automl.errors import ScheduleError
from ecad_automl.schedules.forecast import DAMPING
from ecad_automl.schedules.guidance import BOTH, NONE, effective_guidance

Bits = NDArray[np.bool_]


def effective_compute(
    compute: Bits, readers: NDArray[np.intp], skip: Bits | None = None, guidance: NDArray[np.uint8] | None = None
) -> Bits:
    """What a run under ``compute`` really computes.

    The first step computes everything, since all entries are empty, and so does the first with both guidance branches;
    a skipped step computes nothing; and a recompute whose output nobody reads before the next recompute of the same
    slot is dead work, and dropped.

    Args:
        compute: ``(..., steps, slots)`` bool, True for recompute.
        readers: ``(slots,)``: index of the one slot that reads each slot's output, or -1 for the residual stream.
        skip: ``(..., steps)`` bool, True where the transformer is not entered; the first step is run all the same.
        guidance: ``(..., steps)``: what is done about guidance, see
            :func:`~ecad_automl.schedules.guidance.effective_guidance`; both branches are computed everywhere if None.

    Returns:
        ``(..., steps, slots)`` bool.
    """
    effective = compute.copy() if skip is None else compute & ~skip[..., None]
    effective[..., 0, :] = True
    both: Bits | None = None
    if guidance is not None and guidance.any():
        run = np.ones(guidance.shape, dtype=np.bool_) if skip is None else ~skip
        run[..., 0] = True
        both = run & (effective_guidance(guidance, ~run) == BOTH)
        first = both & (np.cumsum(both, axis=-1) == 1)
        effective |= first[..., None]
    # Readers of readers do not occur in any transformer, so one pass over the slots that have a reader is enough.
    read = np.flatnonzero(readers >= 0)
    if len(read):
        reads = effective[..., readers[read]]
        needed = np.zeros(reads[..., 0, :].shape, dtype=np.bool_)
        other = needed.copy()  # by the branch without the prompt, in steps that compute it
        for step in range(compute.shape[-2] - 1, -1, -1):
            needed |= reads[..., step, :]
            if both is None:
                effective[..., step, read] &= needed
            else:
                here = both[..., step, None]
                other |= reads[..., step, :] & here
                effective[..., step, read] &= needed | (here & other)
                other &= ~(effective[..., step, read] & here)
            needed &= ~effective[..., step, read]
    return effective


def forecast_slots(
    effective: Bits, readers: NDArray[np.intp], levels: NDArray[np.uint8], skip: Bits | None = None
) -> Bits:
    """Where outputs that are used are forecasts, in runs with both guidance branches.

    Args:
        effective: ``(..., steps, slots)`` bool, see :func:`effective_compute`.
        readers: ``(slots,)``, see there.
        levels: ``(..., steps, slots)``: levels of damping; 0 is plain reuse.
        skip: ``(..., steps)`` bool: no slot is used where the transformer is not entered.

    Returns:
        ``(..., steps, slots)`` bool.
    """
    read = (readers < 0) | effective[..., readers]
    told = np.cumsum(effective, axis=-2) > 1  # there are two outputs to forecast from
    found: Bits = read & ~effective & told & (levels > 0)
    return found if skip is None else found & ~skip[..., None]


def checked(values: ArrayLike | None, shape: tuple[int, ...], most: int, what: str) -> NDArray[np.int64]:
    """Whole numbers from 0 to ``most`` of that shape; zeros for None.

    Raises:
        ScheduleError: they are not.
    """
    if values is None:
        return np.zeros(shape, dtype=np.int64)
    array = np.asarray(values)
    if array.shape != shape or not ((array >= 0) & (array <= most) & (array == np.floor(array))).all():
        raise ScheduleError(
            f"A schedule's {what} have the shape {array.shape}, but whole numbers from 0 to {most} of the shape "
            f"{shape} are needed."
        )
    return array.astype(np.int64)


def hex_of(bits: Bits) -> str:
    """Bits as hexadecimal digits."""
    return np.packbits(bits.ravel()).tobytes().hex()


def bits_of_hex(what: str, text: str, count: int) -> Bits:
    """The inverse of :func:`hex_of`.

    Raises:
        ScheduleError: the text is not of hexadecimal digits, or of another number of bits.
    """
    try:
        data = np.frombuffer(bytes.fromhex(text), dtype=np.uint8)
    except (ValueError, TypeError) as error:
        raise ScheduleError(f"A schedule's {what} are not hexadecimal: {error}.") from error
    if len(data) != -(-count // 8):
        raise ScheduleError(
            f"A schedule's {what} have {len(text)} hexadecimal digits, but layout and steps need {2 * -(-count // 8)}."
        )
    return np.unpackbits(data, count=count).astype(np.bool_)


def genome_parts(
    text: str, steps: int, slots: int, columns: int
) -> tuple[Bits, Bits | None, NDArray[np.intp] | None, NDArray[np.intp] | None]:
    """What a genome says, see :meth:`~ecad_automl.schedules.schedule.Schedule.to_genome`.

    Args:
        text: the genome.
        steps: number of denoising steps.
        slots: how many there are.
        columns: of levels of damping.

    Returns:
        ``(steps, slots)`` bits, ``(steps,)`` skipped steps, ``(steps, columns)`` levels of damping and ``(steps,)``
        what is done about guidance; None for what the text leaves out.

    Raises:
        ScheduleError: the text is not of that form and length.
    """
    bits, *more = text.split("/") if isinstance(text, str) else (text,)
    compute = bits_of_hex("bits", bits, max(steps, 0) * slots).reshape(-1, slots)
    if not more:
        return compute, None, None, None
    digits = [np.array(list(part)) for part in more[1:]]
    sizes = [len(part) for part in digits]
    if sizes not in ([steps * columns], [steps * columns, steps]) or any(
        not np.isin(part, list(map(str, range(most + 1)))).all()
        for part, most in zip(digits, (len(DAMPING) - 1, NONE), strict=False)
    ):
        raise ScheduleError(
            f"A schedule's text has {'/'.join(more)!r:.80} after its bits; {steps} bits of skipped steps and, "
            f"after a slash, {steps * columns} digits of damping from 0 to {len(DAMPING) - 1} are needed, and for "
            f"guidance, if any, {steps} digits from 0 to {NONE}."
        )
    levels, *guidance = (part.astype(np.intp) for part in digits)
    skip = bits_of_hex("skipped steps", more[0], steps)
    return compute, skip, levels.reshape(steps, columns), guidance[0] if guidance else None
