"""What is searched: where genes, operators, predictions and readable parameters of a candidate come from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ecad_automl.errors import OptionError
from surrogate import Accuracy, Prediction, Reference, non_dominated

Floats = NDArray[np.float64]
Genes = NDArray[Any]
"""Of one candidate an array of bits or small integers, of several these stacked."""

Candidate = TypeVar("Candidate", bound=Hashable)


@dataclass(frozen=True)
class Descriptor:
    """One number of a candidate.

    Args:
        of: from its genes to the number.
        low: the least that it can be.
        high: the largest, above ``low``.

    Raises:
        OptionError: the range is empty.
    """

    of: Callable[[NDArray[Any]], Any]
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not -np.inf < self.low < self.high < np.inf:
            raise OptionError(f"A descriptor has the range {self.low} to {self.high}; the first must be lower.")


@dataclass(frozen=True, eq=False)
class Past(Generic[Candidate]):
    """All that was evaluated before a generation, in an order that does not depend on when.

    Args:
        genes: of ``n`` candidates, stacked.
        reward: ``(n,)`` the objective to maximize.
        cost: ``(n,)`` the objective to minimize.
        generation: ``(n,)`` ascending.
        operators: ``n`` names of the operators that bred each; empty for those that were not bred.
        share: ``(n,)``: the share of the evaluation that each reward comes from; below 1 where it was stopped.
        feasible: ``(n,)``: whether each meets the constraints, as far as is known.
        margins: ``(n, constraints)``: how far each is inside the bounds, below 0 outside; NaN where it is not known.
        predicted: ``(n, 2, 2)``: of reward and cost what was predicted of each, and its standard deviation; NaN where
            nothing was.
        tried: candidates that are not to be proposed again, those that failed among them.
    """

    genes: Genes
    reward: Floats
    cost: Floats
    generation: NDArray[np.intp]
    operators: Sequence[str]
    share: Floats
    feasible: NDArray[np.bool_]
    margins: Floats
    predicted: Floats
    tried: Collection[Candidate]

    @classmethod
    def of(cls, genes: Genes, reward: Floats, cost: Floats, tried: Collection[Candidate]) -> Past[Candidate]:
        """Whole evaluations without constraints, of which nothing else is known."""
        count = len(reward)
        return cls(
            genes=genes,
            reward=reward,
            cost=cost,
            generation=np.zeros(count, dtype=np.intp),
            operators=[""] * count,
            share=np.ones(count),
            feasible=np.ones(count, dtype=np.bool_),
            margins=np.zeros((count, 0)),
            predicted=np.full((count, 2, 2), np.nan),
            tried=tried,
        )

    def __len__(self) -> int:
        return len(self.reward)

    @property
    def counted(self) -> NDArray[np.bool_]:
        """``(n,)``: which may be on the front: those that were evaluated whole and are feasible."""
        counted: NDArray[np.bool_] = self.feasible & (self.share == 1.0)
        return counted

    def front(self) -> NDArray[np.intp]:
        """Indices of the front."""
        counted = np.flatnonzero(self.counted)
        return counted[non_dominated(self.reward[counted], self.cost[counted])]


@dataclass(frozen=True)
class Pending(Generic[Candidate]):
    """A candidate that is being evaluated."""

    candidate: Candidate
    reward: float


@dataclass(frozen=True, eq=False)
class Expected:
    """What is expected of ``n`` candidates.

    Args:
        reward: to maximize.
        cost: to minimize: a prediction, or ``(n,)`` where it is known.
        feasible: ``(n,)``: probability that all constraints are met.
    """

    reward: Prediction
    cost: Prediction | Floats
    feasible: Floats

    def subset(self, chosen: NDArray[np.intp]) -> Expected:
        """Of some of the candidates."""
        cost = self.cost.subset(chosen) if isinstance(self.cost, Prediction) else self.cost[chosen]
        return Expected(self.reward.subset(chosen), cost, self.feasible[chosen])

    def joined(self, other: Expected) -> Expected:
        """Of these and other candidates, predicted by the same surrogates."""
        cost: Prediction | Floats = np.append(self.median_cost, other.median_cost)
        if isinstance(self.cost, Prediction) and isinstance(other.cost, Prediction):
            cost = self.cost.joined(other.cost)
        return Expected(self.reward.joined(other.reward), cost, np.append(self.feasible, other.feasible))

    @property
    def median_cost(self) -> Floats:
        """``(n,)``."""
        return self.cost.reward if isinstance(self.cost, Prediction) else self.cost


Predict = Callable[[Genes], Expected]
"""From the genes of candidates, stacked, to what is expected of them."""


class Space(Protocol[Candidate]):
    """The candidates of one kind.

    A candidate is anything that is hashed by its effect: what breeds the same twice is evaluated once. Its *genes* are
    what operators work on, and its *genome* is the text by which studies know it; genomes sort as genes do, and texts
    are read and written where a candidate leaves or enters the process, nowhere else.
    """

    @property
    def descriptors(self) -> Mapping[str, Descriptor]:
        """Readable numbers of a candidate's genes by name; the parameters of its trial."""
        ...

    def candidate(self, genes: Genes) -> Candidate:
        """The candidate of some genes, as an operator made them."""
        ...

    def genes(self, candidates: Sequence[Candidate]) -> Genes:
        """The genes of candidates, stacked, also of none."""
        ...

    def write(self, candidate: Candidate) -> str:
        """Its genome."""
        ...

    def read(self, genome: str) -> Candidate:
        """The candidate of a genome.

        Raises:
            EcadError: the text is none of this space.
        """
        ...

    def breed(
        self, parents: Genes, count: int, odds: Mapping[str, float] | None, rng: np.random.Generator
    ) -> tuple[Genes, list[str]]:
        """Children of parents, and for each the names of the operators that made it, joined by ``+``."""
        ...

    def ready(self) -> Genes:
        """Genes that stand in every pool beside what is bred: what is good by all that is known before."""
        ...

    def fresh(self, count: int, rng: np.random.Generator) -> Genes:
        """Genes for where parents have too few new children, about so many; none where breeding is all there is."""
        ...

    def reference(self, past: Past[Candidate]) -> Reference | None:
        """The point that bounds the hypervolume; None where it cannot be told yet."""
        ...

    def accuracy(self, past: Past[Candidate], threshold: float) -> Sequence[Accuracy]:
        """How good past predictions were, first those of the reward; one for each objective that is predicted."""
        ...

    def fit(self, past: Past[Candidate], accuracy: Sequence[Accuracy]) -> Predict:
        """Surrogates of all that is not known of candidates, their intervals stretched by what the accuracies say."""
        ...

    def predictions(self, expected: Expected) -> Mapping[str, Floats]:
        """What trials keep of predictions: attributes by name, each ``(n,)``."""
        ...
