"""Packed binary genomes: many bits as one attribute of a trial, instead of one parameter a bit."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from optuna.trial import FrozenTrial, Trial

from ecad_automl.errors import StudyError
from studies import attributes

Bits = NDArray[np.bool_]


def pack_bits(bits: ArrayLike) -> str:
    """The count of bits, a colon, and the bits as hexadecimal digits.

    Args:
        bits: ``(n,)`` of 0 and 1, or False and True; ``n`` at least 1.

    Raises:
        StudyError: it is something else.
    """
    array = np.asarray(bits)
    if array.ndim != 1 or not array.size or not np.isin(array, (0, 1)).all():
        raise StudyError(
            f"A genome is one row of bits, each 0 or 1, but an array of the shape {array.shape} was given, of "
            f"{array.dtype}."
        )
    return f"{array.size}:{np.packbits(array.astype(np.bool_)).tobytes().hex()}"


def unpack_bits(genome: str) -> Bits:
    """Read what :func:`pack_bits` wrote: ``(n,)`` bool.

    Raises:
        StudyError: the text is something else.
    """
    count, _, digits = str(genome).partition(":")
    try:
        size, data = int(count), np.frombuffer(bytes.fromhex(digits), dtype=np.uint8)
    except ValueError as error:
        raise StudyError(f"The genome {str(genome)[:40]!r} is not a count of bits, a colon and digits.") from error
    if size < 1 or len(data) != -(-size // 8):
        raise StudyError(f"The genome {str(genome)[:40]!r} has {len(digits)} digits, which do not hold {size} bits.")
    return np.unpackbits(data, count=size).astype(np.bool_)


def genome_of(trial: Trial | FrozenTrial) -> Bits:
    """The bits of a trial: ``(n,)`` bool.

    Args:
        trial: one that is being evaluated and whose bits were suggested, or a finished one.

    Raises:
        StudyError: it has none.
    """
    # Optuna's handle keeps the attributes that the trial had when it was asked, before it got its genome.
    stored = trial.study.get_trials(deepcopy=False)[trial.number] if isinstance(trial, Trial) else trial
    found = stored.user_attrs
    if attributes.GENOME not in found:
        raise StudyError(
            f"Trial {trial.number} has no genome: its bits were not suggested, or its study has another sampler than "
            "PackedBinarySampler."
        )
    return unpack_bits(found[attributes.GENOME])
