"""Caching schedules as a space to breed in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial

from ecad_automl.schedules.forecast import DAMPING, Forecasts, staleness
from ecad_automl.schedules.genes import actions_of, gene_columns
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Bits, Schedule
from studies import attributes
from studies.breeding import (
    FEWEST_FOR_A_FIT,
    FORECAST_MUTATIONS,
    MUTATIONS,
    Descriptor,
    Expected,
    Grid,
    Past,
    Predict,
    breed,
)
from studies.cost import Cost
from studies.quality import Scale
from studies.trials import predictions_of
from surrogate import (
    Accuracy,
    FeatureContext,
    LogDrop,
    Prediction,
    Prior,
    Reference,
    Surrogate,
    measure_accuracy,
)

Floats = NDArray[np.float64]

_THIRDS = ("early", "middle", "late")
_SHARES = np.array(DAMPING)
#: With more components than this the thirds are told for all components together.
_MOST_BY_THIRD = 4


def schedule_descriptors(layout: Layout, steps: int, forecasts: bool = False) -> dict[str, Descriptor]:
    """About a dozen readable numbers of the genes of a schedule: shares of computes, and the longest reuse.

    Up to four components are told by third of the run (``attn1 early``); with more, there is one number for each
    component (``proj_mlp``) and one for each third (``early``), so that no layout of up to nine components has more
    than 14. With forecasts there are the shares of skipped steps and of forecasts among the outputs used, and the mean
    damping by component, or for more than four in all, and of the transformer's output.
    """
    slots = len(layout)
    third = np.broadcast_to((np.arange(steps) * len(_THIRDS) // steps)[:, None], (steps, slots))
    component = np.broadcast_to(layout.component_index, third.shape)
    parts = {name: component == index for index, name in enumerate(layout.components)}
    thirds = {name: third == index for index, name in enumerate(_THIRDS)}
    by_third = len(parts) <= _MOST_BY_THIRD
    if by_third:
        masks = {f"{name} {when}": mine & then for name, mine in parts.items() for when, then in thirds.items()}
    else:
        masks = parts | thirds
    found = {
        **{name: Descriptor(partial(_computed, mask)) for name, mask in masks.items()},
        "compute fraction": Descriptor(partial(_computed, np.ones((steps, slots), dtype=np.bool_))),
        "longest reuse": Descriptor(partial(_longest_reuse, slots), 0.0, float(max(steps - 1, 1))),
    }
    if forecasts:
        of_slots = {f"damping {name}": mask for name, mask in parts.items()} if by_third else {}
        everything = np.ones((steps, slots), dtype=np.bool_)
        found["skipped steps"] = Descriptor(lambda genes: float(actions_of(genes[None], slots).skip.mean()))
        found["forecast"] = Descriptor(partial(_mean_damping, layout, everything, True, np.sign))
        for name, mask in (of_slots or {"damping": everything}).items():
            found[name] = Descriptor(partial(_mean_damping, layout, mask, False, _SHARES.take))
        nothing = np.zeros((steps, slots), dtype=np.bool_)
        found["damping output"] = Descriptor(partial(_mean_damping, layout, nothing, True, _SHARES.take))
    return found


def _computed(mask: Bits, genes: Bits) -> float:
    """The share of computes in a part of the grid; 0 where that is nowhere."""
    chosen = actions_of(genes[None], mask.shape[1]).compute[0][mask]
    return float(chosen.mean()) if chosen.size else 0.0


def _longest_reuse(slots: int, genes: Bits) -> int:
    return int(staleness(actions_of(genes[None], slots).compute[0]).max())


def _mean_damping(
    layout: Layout, mask: Bits, output: bool, of_level: Callable[[NDArray[np.intp]], NDArray[Any]], genes: Bits
) -> float:
    """The mean over what is used of a part of the grid, and of the output; 0 where nothing is."""
    compute, skip, damping = (each[0] for each in actions_of(genes[None], len(layout)))
    used = np.column_stack([~compute & ~skip[:, None] & mask, skip & output])
    levels = damping[:, np.append(layout.component_index, len(layout.components))].astype(np.intp)
    # With one computed output alone there is nothing to forecast from.
    told = np.cumsum(np.column_stack([compute, ~skip]), axis=0) > 1
    return float(of_level(np.where(told, levels, 0))[used].mean()) if used.any() else 0.0


def prediction_of(trials: Sequence[FrozenTrial], scale: Scale) -> Prediction:
    """What was predicted of trials; NaN where nothing was."""
    return _prediction(predictions_of(trials), scale)


def _prediction(predicted: Floats, scale: Scale) -> Prediction:
    """Of ``(n, 2)`` rewards and standard deviations."""
    reward, std = predicted.T
    return Prediction.of_rewards(reward, std, LogDrop(scale.uncached_reward, scale.span))


class ScheduleSpace:
    """Schedules of one layout and number of steps; equal ones have the same effect.

    Args:
        layout: the slots.
        steps: denoising steps.
        cost: what is minimized.
        scale: the rewards and costs of interest.
        drift: ``(slots, steps, steps)``: what reuse is expected to do, for the surrogate's features.
        forecasts: weights of forecasts, where schedules may forecast outputs and skip steps; None restricts them to
            reuse.
        evaluated: schedules that other studies have evaluated, for the surrogate.
        log_drop: what they have found of each, see :class:`~surrogate.Prior`.
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
        forecasts: Forecasts | None = None,
        *,
        evaluated: Sequence[Schedule] = (),
        log_drop: Floats | None = None,
        margins: Sequence[float] = (),
        seed: int = 0,
    ) -> None:
        self.layout = layout
        self.steps = steps
        self.descriptors: Mapping[str, Descriptor] = schedule_descriptors(layout, steps, forecasts is not None)
        self._forecasts = forecasts
        self._cost = cost
        self._scale = scale
        self._margins = margins
        self._seed = seed
        slots = len(layout)
        self._columns = slots if forecasts is None else gene_columns(slots, len(layout.components))
        self._grid = Grid.of(layout, self._columns)
        errors = None if forecasts is None else forecasts.expected_errors()
        self._context = FeatureContext(layout.block_index, layout.component_index, layout.slot_macs, drift, errors)
        self._prior = Prior(self.genes(evaluated), log_drop) if log_drop is not None and len(evaluated) else None

    def candidate(self, genes: Bits) -> Schedule:
        """See :class:`~studies.breeding.space.Space`."""
        if self._forecasts is None:
            return Schedule(self.layout, genes)
        compute, skip, damping = (each[0] for each in actions_of(genes[None], len(self.layout)))
        return Schedule(self.layout, compute, skip, damping, self._forecasts)

    def genes(self, candidates: Sequence[Schedule]) -> Bits:
        """``(n, steps, columns)``: effective bits, and where schedules may forecast, what else there is of genes."""
        name = "effective" if self._forecasts is None else "genes"
        genes = [getattr(schedule, name) for schedule in candidates]
        return np.array(genes, dtype=np.bool_).reshape(-1, self.steps, self._columns)

    def write(self, candidate: Schedule) -> str:
        """See :class:`~studies.breeding.space.Space`."""
        return candidate.to_genome()

    def read(self, genome: str) -> Schedule:
        """See :class:`~studies.breeding.space.Space`."""
        return Schedule.from_genome(self.layout, self.steps, genome, self._forecasts)

    def breed(
        self, parents: Bits, count: int, odds: Mapping[str, float] | None, rng: np.random.Generator
    ) -> tuple[Bits, list[str]]:
        """See :class:`~studies.breeding.space.Space`."""
        mutations = MUTATIONS if self._forecasts is None else FORECAST_MUTATIONS
        return breed(parents, self._grid, rng, count, odds, mutations=mutations)

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
        prediction = _prediction(past.predicted[:, 0], self._scale)
        log_drop = prediction.scale.of(past.reward)
        return [measure_accuracy(-prediction.loss, prediction.loss_std, -log_drop, past.cost, threshold)]

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

        def predict(genes: Bits) -> Expected:
            feasible = np.ones(len(genes))
            for surrogate in constraints:
                feasible *= surrogate.predict(genes).probability_above(0.0)
            expected = reward.predict(genes).stretched(accuracy[0].stretch)
            return Expected(expected, self._costs(genes), feasible)

        return predict

    def _costs(self, genes: Bits) -> Floats:
        """``(n,)``."""
        compute, skip, _ = actions_of(genes, len(self.layout))
        return self._cost.of_bits(compute, skip)

    def predictions(self, expected: Expected) -> dict[str, Floats]:
        """See :class:`~studies.breeding.space.Space`."""
        return {attributes.PREDICTED_REWARD: expected.reward.reward, attributes.PREDICTED_STD: expected.reward.std}
