"""Packed bits as a space to breed in: two objectives of any direction, either of which may be known exactly."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial

from ecad_automl.errors import OptionError, StudyError
from studies import attributes
from studies.breeding import (
    CROSSOVERS,
    FEWEST_FOR_A_FIT,
    MUTATIONS,
    Crossover,
    Descriptor,
    Expected,
    Grid,
    Mutation,
    Past,
    Predict,
    breed,
    share_of,
)
from studies.breeding.crossover import uniform
from surrogate import (
    Accuracy,
    Prediction,
    Reference,
    TableSurrogate,
    bit_features,
    measure_accuracy,
    reference_of,
    segments,
)

Bits = NDArray[np.bool_]
Floats = NDArray[np.float64]

Exact = Callable[[Bits], Any]
"""From ``(n, bits)`` bool to the ``(n,)`` values of an objective, in the unit in which it is told to Optuna."""

#: Segments of a genome, and bands of rows and of columns of a grid, at most.
_SEGMENTS, _BANDS = 8, 4
#: The value that is told to Optuna may differ from an exact one by this part: what is kept as float32, say.
_TOLERANCE = 1e-4
#: A search space of so many bits at most is small enough to look at all of it.
_SMALL = 12

#: Names that say what an operator does where it is not known what rows and columns stand for.
_FLAT_MUTATIONS = ("flip", "swap")
_GRID_CROSSOVERS = {"rectangle": "rectangle", "rows": "stepwise", "columns": "slotwise"}
_GRID_MUTATIONS = {
    "move": "move",
    "copy-row": "copy-step",
    "copy-column": "copy-slot",
    "swap-rows": "swap-steps",
    "toggle-row": "toggle-step",
    "toggle-columns": "blocks",
    "toggle-rows": "run",
}


def predicted(index: int) -> tuple[str, str]:
    """Names of the attributes that hold the prediction of an objective and its standard deviation."""
    return f"predicted_{index}", f"predicted_std_{index}"


def operators_of(shape: tuple[int, int] | None) -> tuple[Mapping[str, Crossover], Mapping[str, Mutation]]:
    """Crossovers and mutations by name."""
    crossovers = {"uniform": uniform, "multipoint": CROSSOVERS["multipoint"]}
    mutations = {name: MUTATIONS[name] for name in _FLAT_MUTATIONS}
    if shape is not None:
        crossovers |= {name: CROSSOVERS[of] for name, of in _GRID_CROSSOVERS.items()}
        mutations |= {name: MUTATIONS[of] for name, of in _GRID_MUTATIONS.items()}
    return crossovers, mutations


def default_descriptors(bits: int, shape: tuple[int, int] | None = None) -> dict[str, Descriptor]:
    """Shares of ones: of all bits, and of up to eight segments, or of up to four bands of rows and of columns.

    Args:
        bits: how many.
        shape: rows and columns.
    """
    place = np.arange(bits)
    parts = [("ones", place, bits, _SEGMENTS)]
    if shape is not None:
        row, column = np.divmod(place, shape[1])
        parts = [("ones in rows", row, shape[0], _BANDS), ("ones in columns", column, shape[1], _BANDS)]
    found = {"ones": Descriptor(np.mean)}
    for name, of_bit, length, count in parts:
        part = segments(length, count)
        for number in np.unique(part):
            first, last = np.flatnonzero(part == number)[[0, -1]]
            found[f"{name} {first} to {last}"] = share_of((of_bit >= first) & (of_bit <= last))
    return found


@dataclass(frozen=True, eq=False)
class PackedBits:
    """Genomes of bits; a candidate is its bits packed into bytes.

    What the engine maximizes (the reward) is the first objective that is not exact, for a cost may be exact; the other
    one is the cost.

    The fields are arguments of :class:`~studies.binary.PackedBinarySampler`, and the directions of the study's
    objectives, once they are known.

    Raises:
        OptionError: an argument is out of range.
        StudyError: there are not two directions.
    """

    bits: int
    shape: tuple[int, int] | None = None
    features: Callable[[Bits], Any] | None = None
    exact: Mapping[int, Exact] = field(default_factory=dict)
    descriptors: Mapping[str, Descriptor] = field(default_factory=dict)
    given_reference: tuple[float, float] | None = None
    seed: int = 0
    directions: Sequence[StudyDirection] = (StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE)

    def __post_init__(self) -> None:
        if self.bits < 1:
            raise OptionError(f"The number of bits is {self.bits}; it must be at least 1.")
        if self.shape is not None and (min(self.shape) < 1 or self.shape[0] * self.shape[1] != self.bits):
            raise OptionError(
                f"The shape is {self.shape[0]} x {self.shape[1]}, but there are {self.bits} bits; rows times columns "
                "must be their number."
            )
        if not set(self.exact) <= {0, 1}:
            raise OptionError(
                f"exact has the keys {sorted(self.exact)}; they are the indices of objectives, 0 and 1, in the order "
                "of the study's directions."
            )
        if self.given_reference is not None and len(self.given_reference) != 2:
            raise OptionError(f"The reference has {len(self.given_reference)} numbers; one for each of two objectives.")
        if len(self.directions) != 2:
            raise StudyError(
                f"The study has {len(self.directions)} objective{'s' * (len(self.directions) != 1)}, but "
                "PackedBinarySampler is for two; create the study with two directions, or use another sampler."
            )

    @property
    def objectives(self) -> tuple[int, int]:
        """Indices of the objectives that take the parts of reward and cost."""
        reward = next((index for index in (0, 1) if index not in self.exact), 0)
        return reward, 1 - reward

    @property
    def signs(self) -> tuple[float, float]:
        """By which the values of these are multiplied to be a reward to maximize and a cost to minimize."""
        up = [1.0 if self.directions[index] is StudyDirection.MAXIMIZE else -1.0 for index in self.objectives]
        return up[0], -up[1]

    @property
    def grid(self) -> Grid:
        """Rows and columns as operators see them."""
        columns = self.bits if self.shape is None else self.shape[1]
        return Grid(np.arange(columns), np.zeros(columns, dtype=np.intp), fixed=0)

    # Candidates

    def candidate(self, genes: Bits) -> bytes:
        """See :class:`~studies.breeding.space.Space`."""
        return np.packbits(genes).tobytes()

    def genes(self, candidates: Sequence[bytes]) -> Bits:
        """See :class:`~studies.breeding.space.Space`."""
        packed = np.frombuffer(b"".join(candidates), dtype=np.uint8).reshape(len(candidates), -(-self.bits // 8))
        return np.unpackbits(packed, axis=1, count=self.bits).astype(np.bool_)

    def write(self, candidate: bytes) -> str:
        """See :func:`~studies.binary.space.pack_bits`."""
        return f"{self.bits}:{candidate.hex()}"

    def read(self, genome: str) -> bytes:
        """See :class:`~studies.breeding.space.Space`."""
        found = unpack_bits(genome)
        if len(found) != self.bits:
            raise StudyError(
                f"The study has a genome of {len(found)} bits, but the sampler is for {self.bits}; take the number of "
                "bits that the study was started with, or start another study."
            )
        return self.candidate(found)

    def breed(
        self, parents: Bits, count: int, odds: Mapping[str, float] | None, rng: np.random.Generator
    ) -> tuple[Bits, list[str]]:
        """See :class:`~studies.breeding.space.Space`; bits of no shape are one row."""
        shape = (1, self.bits) if self.shape is None else self.shape
        children, names = breed(parents.reshape(-1, *shape), self.grid, rng, count, odds, *operators_of(self.shape))
        return children.reshape(-1, self.bits), names

    def ready(self) -> Bits:
        """None: nothing is known of bits before an evaluation."""
        return np.zeros((0, self.bits), dtype=np.bool_)

    def fresh(self, count: int, rng: np.random.Generator) -> Bits:
        """Random ones; of few bits, all genomes there are."""
        if self.bits > _SMALL:
            return rng.random((count, self.bits)) < rng.random((count, 1))
        numbers = rng.permutation(2**self.bits)
        everything: Bits = (numbers[:, None] >> np.arange(self.bits)) & 1 == 1
        return everything

    # Objectives

    def reference(self, past: Past[bytes]) -> Reference | None:
        """The one that was given, or a little worse than the front."""
        if not len(past):
            return None
        if self.given_reference is not None:
            reward, cost = (self.given_reference[i] * sign for i, sign in zip(self.objectives, self.signs, strict=True))
            return Reference(float(reward), float(cost))
        # Infeasible trials say how good others may be only where there are no feasible ones.
        chosen = past.feasible if past.feasible.any() else np.ones(len(past), dtype=np.bool_)
        return reference_of(past.reward[chosen], past.cost[chosen])

    def accuracy(self, past: Past[bytes], threshold: float) -> list[Accuracy]:
        """Of each objective that is not exact, at equal values of the other one."""
        values, found = (past.reward, past.cost), []
        for role, index in enumerate(self.objectives):
            if index not in self.exact:
                mean, std = past.predicted[:, role].T
                found.append(measure_accuracy(mean, std, values[role], values[1 - role], threshold))
        return found

    def fit(self, past: Past[bytes], accuracy: Sequence[Accuracy]) -> Predict:
        """A surrogate for each objective that is not exact, and for each constraint."""
        values = dict(zip(self.objectives, (past.reward * self.signs[0], past.cost * self.signs[1]), strict=True))
        for index in self.exact:
            self._check_exact(index, past.genes, values[index])
        modeled = [index for index in self.objectives if index not in self.exact]
        told = np.isfinite(past.margins)
        bounded = [column for column in range(told.shape[1]) if told[:, column].sum() >= FEWEST_FOR_A_FIT]
        needs_features = bool(modeled or bounded)
        x = self._features(past.genes) if needs_features else np.empty(0)
        surrogates = {index: self._surrogate().fit(x, values[index]) for index in modeled}
        constraints = [self._surrogate().fit(x[told[:, i]], past.margins[told[:, i], i]) for i in bounded]

        def predict(bits: Bits) -> Expected:
            x = self._features(bits) if needs_features else np.empty(0)
            stretches = iter(accuracy)
            found = []
            for index, sign in zip(self.objectives, self.signs, strict=True):
                if index in self.exact:
                    known = sign * self._exact_values(index, bits)
                    found.append(Prediction.of_rewards(known, np.zeros(len(known))))
                else:
                    prediction = surrogates[index].predict(x).stretched(next(stretches).stretch)
                    found.append(Prediction.of_rewards(sign * prediction.reward, prediction.std))
            feasible = np.ones(len(bits))
            for surrogate in constraints:
                feasible *= surrogate.predict(x).probability_above(0.0)
            reward, cost = found
            return Expected(reward, cost.reward if self.objectives[1] in self.exact else cost, feasible)

        return predict

    def predictions(self, expected: Expected) -> dict[str, Floats]:
        """In the units in which objectives are told to Optuna."""
        found: dict[str, Floats] = {}
        for index, sign, prediction in zip(self.objectives, self.signs, (expected.reward, expected.cost), strict=True):
            if index not in self.exact and not isinstance(prediction, np.ndarray):
                mean, std = predicted(index)
                found |= {mean: sign * prediction.reward, std: prediction.std}
        return found

    def _surrogate(self) -> TableSurrogate:
        return TableSurrogate(self.seed % 2**28)

    def _features(self, bits: Bits) -> Floats:
        if self.features is None:
            return bit_features(bits, self.shape)
        found = np.asarray(self.features(bits), dtype=np.float64)
        if found.ndim != 2 or len(found) != len(bits) or not np.isfinite(found).all():
            raise StudyError(
                f"'features' gave an array of the shape {found.shape} for {len(bits)} genomes; it must give "
                "(genomes, features), all finite."
            )
        return found

    def _exact_values(self, index: int, bits: Bits) -> Floats:
        values = np.asarray(self.exact[index](bits), dtype=np.float64)
        if values.shape != (len(bits),) or not np.isfinite(values).all():
            raise StudyError(
                f"The function of the exact objective {index} gave an array of the shape {values.shape} for "
                f"{len(bits)} genomes; it must give one finite number for each row of bits."
            )
        return values

    def _check_exact(self, index: int, bits: Bits, told: Floats) -> None:
        values = self._exact_values(index, bits)
        wrong = np.flatnonzero(np.abs(values - told) > _TOLERANCE * max(float(np.abs(told).max()), 1e-12))
        if len(wrong):
            raise StudyError(
                f"The function of the exact objective {index} gives {values[wrong[0]]:g} for a genome that was "
                f"evaluated to {told[wrong[0]]:g}; leave out of 'exact' what is not known exactly."
            )


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
