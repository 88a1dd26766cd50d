"""The settings of a search over packed binary genomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ecad_automl.errors import StudyError
from studies.binary.genome import Bits
from studies.binary.objectives import Exact

__all__ = ["BinaryConfig"]


@dataclass(frozen=True)
class BinaryConfig:
    """How to search; :class:`~studies.binary.sampler.PackedBinarySampler` says what each means.

    Raises:
        StudyError: a setting is out of range; the message names it.
    """

    bits: int
    shape: tuple[int, int] | None
    seed: int
    initial: int = 24
    batch: int = 8
    parents: int = 24
    pool: int = 400
    rounds: int = 5
    unfiltered: int = 1
    surrogate: bool = True
    adaptive: bool = True
    trust: float = 0.1
    features: Callable[[Bits], Any] | None = None
    exact: Mapping[int, Exact] = field(default_factory=dict)
    reference: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        least = {"bits": (self.bits, 1), "initial": (self.initial, 2), "batch": (self.batch, 1), "seed": (self.seed, 0)}
        for name, (value, bound) in {**least, "parents": (self.parents, 2), "rounds": (self.rounds, 1)}.items():
            if value < bound:
                raise StudyError(f"{name} is {value}; it must be at least {bound}.")
        if self.shape is not None and (min(self.shape) < 1 or self.shape[0] * self.shape[1] != self.bits):
            raise StudyError(
                f"The shape is {self.shape[0]} x {self.shape[1]}, but there are {self.bits} bits; rows times columns "
                "must be their number."
            )
        if self.pool < self.batch:
            raise StudyError(f"The pool of {self.pool} is below the batch of {self.batch}; it must be at least that.")
        if not 0 <= self.unfiltered <= self.batch:
            raise StudyError(f"unfiltered is {self.unfiltered}, of a batch of {self.batch}; it must fit in.")
        if not set(self.exact) <= {0, 1}:
            raise StudyError(
                f"exact has the keys {sorted(self.exact)}; they are the indices of objectives, 0 and 1, in the order "
                "of the study's directions."
            )
        if self.reference is not None and len(self.reference) != 2:
            raise StudyError(f"The reference has {len(self.reference)} numbers; one for each of two objectives.")
