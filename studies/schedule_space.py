"""Caching schedules as a space to breed in."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial

from ecad_automl.schedules.forecast import DAMPING, Forecasts, staleness
from ecad_automl.schedules.genes import Actions, actions_of, gene_columns
from ecad_automl.schedules.guidance import KEEP, NONE
from ecad_automl.schedules.guidance_errors import GuidanceErrors
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Bits, Schedule
from ecad_automl.schedules.whole_steps import whole_steps_of
from studies import attributes
from studies.breeding import (
    FEWEST_FOR_A_FIT,
    FORECAST_MUTATIONS,
    GUIDED_MUTATIONS,
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

_OfGenes = Callable[[Bits], Actions]

_THIRDS = ("early", "middle", "late")
#: Mutations that change which steps are skipped.
_OF_WHOLE_STEPS = ("skip", "swap-steps", "copy-step")
_SHARES = np.array(DAMPING)
#: Schedules that surrogates learn from at most, beside the seeds: the latest, which are nearest to what is bred next.
_MOST_LEARNED = 2000
#: With more components than this the thirds are told for all components together.
_MOST_BY_THIRD = 4


def schedule_descriptors(
    layout: Layout, steps: int, forecasts: bool = False, guided: bool = False
) -> dict[str, Descriptor]:
    """About a dozen readable numbers of the genes of a schedule: shares of computes, and the longest reuse.

    Up to four components are told by third of the run (``attn1 early``); with more, there is one number for each
    component (``proj_mlp``) and one for each third (``early``), so that no layout of up to nine components has more
    than 14. With forecasts there are the shares of skipped steps and of forecasts among the outputs used, and the mean
    damping by component, or for more than four in all, and of the transformer's output; with guidance the shares of
    steps that keep an earlier difference of both branches, and that do without.
    """
    actions = partial(actions_of, slots=len(layout), guided=guided)
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
        **{name: Descriptor(partial(_computed, actions, mask)) for name, mask in masks.items()},
        "compute fraction": Descriptor(partial(_computed, actions, np.ones((steps, slots), dtype=np.bool_))),
        "longest reuse": Descriptor(partial(_longest_reuse, actions), 0.0, float(max(steps - 1, 1))),
    }
    if forecasts:
        of_slots = {f"damping {name}": mask for name, mask in parts.items()} if by_third else {}
        everything = np.ones((steps, slots), dtype=np.bool_)
        mean_damping = partial(_mean_damping, actions, layout)
        found["skipped steps"] = Descriptor(lambda genes: float(actions(genes[None]).skip.mean()))
        found["forecast"] = Descriptor(partial(mean_damping, everything, True, np.sign))
        for name, mask in (of_slots or {"damping": everything}).items():
            found[name] = Descriptor(partial(mean_damping, mask, False, _SHARES.take))
        nothing = np.zeros((steps, slots), dtype=np.bool_)
        found["damping output"] = Descriptor(partial(mean_damping, nothing, True, _SHARES.take))
    if guided:
        found["guidance kept"] = Descriptor(partial(_guided, actions, range(KEEP, NONE)))
        found["no guidance"] = Descriptor(partial(_guided, actions, (NONE,)))
    return found


def _guided(actions: _OfGenes, wanted: Collection[int], genes: Bits) -> float:
    """The share of steps that do one of these about guidance."""
    return float(np.isin(actions(genes[None]).guidance, list(wanted)).mean())


def _computed(actions: _OfGenes, mask: Bits, genes: Bits) -> float:
    """The share of computes in a part of the grid; 0 where that is nowhere."""
    chosen = actions(genes[None]).compute[0][mask]
    return float(chosen.mean()) if chosen.size else 0.0


def _longest_reuse(actions: _OfGenes, genes: Bits) -> int:
    return int(staleness(actions(genes[None]).compute[0]).max())


def _mean_damping(
    actions: _OfGenes,
    layout: Layout,
    mask: Bits,
    output: bool,
    of_level: Callable[[NDArray[np.intp]], NDArray[Any]],
    genes: Bits,
) -> float:
    """The mean over what is used of a part of the grid, and of the output; 0 where nothing is."""
    compute, skip, damping, _ = (each[0] for each in actions(genes[None]))
    used = np.column_stack([~compute & ~skip[:, None] & mask, skip & output])
    levels = damping[:, np.append(layout.component_index, len(layout.components))].astype(np.intp)
    # With one computed output alone there is nothing to forecast from.
    told = np.cumsum(np.column_stack([compute, ~skip]), axis=0) > 1
    return float(of_level(np.where(told, levels, 0))[used].mean()) if used.any() else 0.0


def feature_context(
    layout: Layout, drift: Floats, forecasts: Forecasts | None, guidance: GuidanceErrors | None
) -> FeatureContext:
    """What the surrogate knows of a run before any schedule of it is evaluated; see :class:`ScheduleSpace`."""
    slots = layout.block_index, layout.component_index, layout.slot_macs
    if forecasts is None:
        return FeatureContext(*slots, drift)
    of_guidance = None if guidance is None else guidance.error * forecasts.step_weights(1.0)[:, None, None]
    return FeatureContext(*slots, drift, forecasts.expected_errors(), of_guidance)


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
        guidance: errors of guidance by one branch alone, where schedules that forecast may have that; else None.
        whole_steps: whether each step is skipped or computed whole.
        floor: ``(slots,)``: where schedules are for other engines, what these compute in a step that they skip; nothing
            is forecast then.
        fits: whether coefficients are fitted for each schedule, so that skipped steps have no damping to choose.
        ready: schedules to have in every pool, see :meth:`ready`.
        least: what costs less counts as if it cost as much.
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
        guidance: GuidanceErrors | None = None,
        *,
        whole_steps: bool = False,
        floor: Bits | None = None,
        fits: bool = False,
        ready: Sequence[Schedule] = (),
        least: float = 0.0,
        evaluated: Sequence[Schedule] = (),
        log_drop: Floats | None = None,
        margins: Sequence[float] = (),
        seed: int = 0,
    ) -> None:
        self.layout = layout
        self.steps = steps
        self._guided = guidance is not None
        self.descriptors: Mapping[str, Descriptor] = schedule_descriptors(
            layout, steps, forecasts is not None, self._guided
        )
        self._forecasts = forecasts
        self._cost = cost
        self._scale = scale
        self._margins = margins
        self._seed = seed
        self._ready, self._least = ready, least
        self._whole_steps = whole_steps and floor is None
        self._floor = floor
        self._fits = fits
        slots = len(layout)
        self._columns = slots if forecasts is None else gene_columns(slots, len(layout.components), self._guided)
        self._grid = Grid.of(layout, self._columns, self._guided)
        self._mutations = MUTATIONS if forecasts is None else GUIDED_MUTATIONS if self._guided else FORECAST_MUTATIONS
        if floor is not None:
            self._mutations = {name: self._mutations[name] for name in _OF_WHOLE_STEPS}
        self._context = feature_context(layout, drift, forecasts, guidance)
        self._prior = Prior(self.genes(evaluated), log_drop) if log_drop is not None and len(evaluated) else None

    def candidate(self, genes: Bits) -> Schedule:
        """See :class:`~studies.breeding.space.Space`."""
        return self._schedule(genes, self._forecasts)

    def genes(self, candidates: Sequence[Schedule]) -> Bits:
        """``(n, steps, columns)``: effective bits, and where schedules may forecast, what else there is of genes."""
        genes = [self._genes_of(schedule) for schedule in candidates]
        return np.array(genes, dtype=np.bool_).reshape(-1, self.steps, self._columns)

    def _schedule(self, genes: Bits, forecasts: Forecasts | None) -> Schedule:
        if forecasts is None:
            return Schedule(self.layout, genes)
        compute, skip, damping, guidance = (each[0] for each in self._actions(genes[None]))
        if self._whole_steps:
            compute = np.ones_like(compute)
        if self._fits:
            damping[:, -1] = len(DAMPING) - 1
        return Schedule(self.layout, compute, skip, damping, forecasts, guidance)

    def _genes_of(self, schedule: Schedule) -> Bits:
        if self._columns == len(self.layout):
            return schedule.effective
        if self._floor is not None and (mask := whole_steps_of(schedule)) is not None:
            schedule = Schedule(self.layout, np.ones_like(schedule.effective), ~mask)
        return schedule.guided_genes if self._guided else schedule.genes

    def _actions(self, genes: Bits) -> Actions:
        found = actions_of(genes, len(self.layout), self._guided)
        if self._floor is None:
            return found
        compute = ~found.skip[..., None] | self._floor
        return Actions(compute, np.zeros_like(found.skip), np.zeros_like(found.damping), found.guidance)

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
        return breed(parents, self._grid, rng, count, odds, mutations=self._mutations)

    def ready(self) -> Bits:
        """Those of least predicted error, of all numbers of steps and with any guidance."""
        return self.genes(self._ready)

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
        latest = np.arange(len(past)) >= len(past) - _MOST_LEARNED
        learned = np.flatnonzero(latest | (past.generation == 0))
        reward.fit(past.genes[learned], past.reward[learned], past.share[learned])
        constraints = []
        for margin, uncached in zip(past.margins.T, self._margins, strict=True):
            told = learned[np.isfinite(margin[learned])]
            if len(told) >= FEWEST_FOR_A_FIT:
                surrogate = Surrogate(self._context, self._seed, spread=uncached)
                constraints.append(surrogate.fit(past.genes[told], margin[told]))

        def predict(genes: Bits) -> Expected:
            feasible = np.ones(len(genes))
            for surrogate in constraints:
                feasible *= surrogate.predict(genes).probability_above(0.0)
            expected = reward.predict(genes).stretched(accuracy[0].stretch)
            return Expected(expected, np.maximum(self._costs(genes), self._least), feasible)

        return predict

    def _costs(self, genes: Bits) -> Floats:
        """``(n,)``."""
        return self._cost.of_actions(self._actions(genes))

    def predictions(self, expected: Expected) -> dict[str, Floats]:
        """See :class:`~studies.breeding.space.Space`."""
        return {attributes.PREDICTED_REWARD: expected.reward.reward, attributes.PREDICTED_STD: expected.reward.std}
