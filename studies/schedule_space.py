"""Caching schedules as a space to breed in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial

from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Bits, Schedule, staleness
from studies import attributes
from studies.breeding import FEWEST_FOR_A_FIT, Descriptor, Expected, Grid, Past, Predict, breed, share_of
from studies.cost import Cost
from studies.quality import Scale
from studies.trials import predictions_of
from surrogate import (
    Accuracy,
    FeatureContext,
    Forecast,
    LogDrop,
    Prior,
    Reference,
    Surrogate,
    measure_accuracy,
)

Floats = NDArray[np.float64]

_THIRDS = ("early", "middle", "late")
#: With more components than this the thirds are told for all components together.
_MOST_BY_THIRD = 4


def schedule_descriptors(layout: Layout, steps: int) -> dict[str, Descriptor]:
    """About a dozen readable numbers of the effective bits of a schedule: shares of computes, and the longest reuse.

    Up to four components are told by third of the run (``attn1 early``); with more, there is one number for each
    component (``proj_mlp``) and one for each third (``early``), so that no layout of up to nine components has more
    than 14.
    """
    third = np.broadcast_to((np.arange(steps) * len(_THIRDS) // steps)[:, None], (steps, len(layout)))
    component = np.broadcast_to(layout.component_index, third.shape)
    parts = {name: component == index for index, name in enumerate(layout.components)}
    thirds = {name: third == index for index, name in enumerate(_THIRDS)}
    if len(parts) <= _MOST_BY_THIRD:
        masks = {f"{name} {when}": mine & then for name, mine in parts.items() for when, then in thirds.items()}
    else:
        masks = parts | thirds
    return {
        **{name: share_of(mask) for name, mask in masks.items()},
        "compute fraction": Descriptor(np.mean),
        "longest reuse": Descriptor(_longest_reuse, 0.0, float(max(steps - 1, 1))),
    }


def _longest_reuse(effective: Bits) -> int:
    return int(staleness(effective).max())


def forecast_of(trials: Sequence[FrozenTrial], scale: Scale) -> Forecast:
    """What was predicted of trials; NaN where nothing was."""
    return _forecast(predictions_of(trials), scale)


def _forecast(predicted: Floats, scale: Scale) -> Forecast:
    """Of ``(n, 2)`` rewards and standard deviations."""
    reward, std = predicted.T
    return Forecast.of_rewards(reward, std, LogDrop(scale.uncached_reward, scale.span))


class ScheduleSpace:
    """Schedules of one layout and number of steps; equal ones have the same effect.

    Args:
        layout: the slots.
        steps: denoising steps.
        cost: what is minimized.
        scale: the rewards and costs of interest.
        drift: ``(slots, steps, steps)``: what reuse is expected to do, for the surrogate's features.
        prior: evaluations of another study, for the surrogate.
        margins: by how much the uncached run meets each constraint.
        seed: of the surrogates.
    """

    def __init__(
        self,
        layout: Layout,
        steps: int,
        cost: Cost,
        scale: Scale,
        drift: Floats,
        *,
        prior: Prior | None = None,
        margins: Sequence[float] = (),
        seed: int = 0,
    ) -> None:
        self.layout = layout
        self.steps = steps
        self.descriptors: Mapping[str, Descriptor] = schedule_descriptors(layout, steps)
        self._cost = cost
        self._scale = scale
        self._prior = prior
        self._margins = margins
        self._seed = seed
        self._grid = Grid(layout.block_index, layout.component_index)
        self._context = FeatureContext(layout.block_index, layout.component_index, layout.slot_macs, drift)

    def candidate(self, genes: Bits) -> Schedule:
        """See :class:`~studies.breeding.space.Space`."""
        return Schedule(self.layout, genes)

    def genes(self, candidates: Sequence[Schedule]) -> Bits:
        """``(n, steps, slots)`` effective bits."""
        bits = [schedule.effective for schedule in candidates]
        return np.array(bits, dtype=np.bool_).reshape(-1, self.steps, len(self.layout))

    def write(self, candidate: Schedule) -> str:
        """See :class:`~studies.breeding.space.Space`."""
        return candidate.to_genome()

    def read(self, genome: str) -> Schedule:
        """See :class:`~studies.breeding.space.Space`."""
        return Schedule.from_genome(self.layout, self.steps, genome)

    def breed(
        self, parents: Bits, count: int, odds: Mapping[str, float] | None, rng: np.random.Generator
    ) -> tuple[Bits, list[str]]:
        """See :class:`~studies.breeding.space.Space`."""
        return breed(parents, self._grid, rng, count, odds)

    def fresh(self, count: int, rng: np.random.Generator) -> Bits:
        """None: random schedules are too poor to be worth an evaluation."""
        del count, rng
        return self.genes([])

    def reference(self, past: Past[Schedule]) -> Reference:
        """The worst of interest."""
        del past
        return self._scale.reference

    def accuracy(self, past: Past[Schedule], threshold: float) -> list[Accuracy]:
        """Of the reward; its predictions have Gaussian errors in log drops."""
        forecast = _forecast(past.predicted[:, 0], self._scale)
        log_drop = forecast.scale.of(past.reward)
        return [measure_accuracy(-forecast.loss, forecast.loss_std, -log_drop, past.cost, threshold)]

    def fit(self, past: Past[Schedule], accuracy: Sequence[Accuracy]) -> Predict:
        """A surrogate of the reward, and one for each constraint that enough was measured of; costs are known."""
        reward = Surrogate(self._context, self._seed, self._prior, self._scale.span)
        reward.fit(past.genes, past.reward, past.share)
        constraints = []
        for margin, uncached in zip(past.margins.T, self._margins, strict=True):
            told = np.isfinite(margin)
            if told.sum() >= FEWEST_FOR_A_FIT:
                surrogate = Surrogate(self._context, self._seed, spread=uncached)
                constraints.append(surrogate.fit(past.genes[told], margin[told]))

        def predict(effective: Bits) -> Expected:
            feasible = np.ones(len(effective))
            for surrogate in constraints:
                feasible *= surrogate.predict(effective).probability_above(0.0)
            forecast = reward.predict(effective).stretched(accuracy[0].stretch)
            return Expected(forecast, self._cost.of_bits(effective), feasible)

        return predict

    def predictions(self, expected: Expected) -> dict[str, Floats]:
        """See :class:`~studies.breeding.space.Space`."""
        return {attributes.PREDICTED_REWARD: expected.reward.reward, attributes.PREDICTED_STD: expected.reward.std}
