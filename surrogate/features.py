"""What the surrogate sees of a schedule: sums of drift over bands of the grid, instead of raw bits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ecad_automl.errors import ScheduleError
from ecad_automl.schedules.genes import actions_of, counts_of, gene_columns, plan_rows
from ecad_automl.schedules.guidance import BOTH, KEEP
from ecad_automl.schedules.use_errors import UseErrors

Bits = NDArray[np.bool_]
Floats = NDArray[np.float64]
Integers = NDArray[np.integer[Any]]

#: The run is cut into this many bands of steps, and more finely where drift is summed over all slots.
STEP_BANDS = 6
FINE_STEP_BANDS = 20
#: The blocks that have a component are cut into this many bands, and more finely where drift is summed over all steps.
DEPTH_BANDS = 4
FINE_DEPTH_BANDS = 8
THIRDS = 3


@dataclass(frozen=True, eq=False)
class Plans:
    """What is known of runs of fewer steps, where schedules may have these too.

    Args:
        counts: ``(k,)`` numbers of steps, rising; the last is that of the context that this is of.
        contexts: of runs of so many steps, without plans of their own.
        errors: ``(k,)``: what having fewer steps is expected to do, on the scale of the sum of drift over slots.
    """

    counts: Integers
    contexts: tuple[FeatureContext, ...]
    errors: Floats


@dataclass(frozen=True, eq=False)
class FeatureContext:
    """What is known of a transformer before any schedule is evaluated.

    Args:
        block_index: ``(slots,)`` position of each slot's block, in the order of a forward.
        component_index: ``(slots,)`` position of each slot's component in the list of components.
        slot_macs: ``(slots,)`` MACs of one computation of each slot.
        drift: ``(slots, steps, steps)``: ``drift[s, m, n]`` is the relative mean squared distance of the output of slot
            ``s`` at step ``n`` from the one at step ``m``, weighted by what it does.
        errors: what takes the place of the drift where schedules forecast outputs and skip steps, see
            :meth:`~ecad_automl.schedules.forecast.Forecasts.expected_errors`; None where none do.
        guidance: ``(levels + 1, steps, steps, steps)``: errors of guidance by an earlier difference of both branches,
            and by none, see :class:`~ecad_automl.schedules.guidance_errors.GuidanceErrors`, on the scale of ``errors``;
            genes then say what is done about it. None where both branches are computed everywhere.
        plans: of runs of fewer steps; genes then have a column that says which rows are there, see
            :func:`~ecad_automl.schedules.genes.spread`. None where all schedules have the same steps.

    Raises:
        ScheduleError: the arrays do not belong together.
    """

    block_index: Integers
    component_index: Integers
    slot_macs: NDArray[np.int64]
    drift: Floats
    errors: UseErrors | None = None
    guidance: Floats | None = None
    plans: Plans | None = None

    def __post_init__(self) -> None:
        slots = len(self.block_index)
        if not slots or len(self.component_index) != slots or len(self.slot_macs) != slots:
            raise ScheduleError(
                f"There are {slots} block indices, {len(self.component_index)} component indices and "
                f"{len(self.slot_macs)} slot MACs; one of each is needed for every slot."
            )
        if self.drift.shape != (slots, self.steps, self.steps):
            raise ScheduleError(f"The drift has the shape {self.drift.shape}; ({slots}, steps, steps) is needed.")
        if self.errors is not None and self.errors.shape[1:] != (slots + 1, *[self.steps] * 3):
            raise ScheduleError(
                f"The errors have the shape {self.errors.shape}; (levels, {slots + 1}, steps, steps, steps) is needed."
            )

    @property
    def steps(self) -> int:
        """Number of denoising steps."""
        return int(self.drift.shape[-1])

    @cached_property
    def depth(self) -> Floats:
        """``(slots,)``: where each slot stands among those of its component, in forward order: from 0 to below 1."""
        depth = np.zeros(len(self.block_index))
        for component in np.unique(self.component_index):
            mine = np.flatnonzero(self.component_index == component)
            depth[mine[np.argsort(self.block_index[mine], kind="stable")]] = np.arange(len(mine)) / len(mine)
        return depth

    @cached_property
    def groups(self) -> Integers:
        """``(slots,)``: component and band of depth of each slot, numbered together."""
        band = (self.depth * DEPTH_BANDS).astype(np.intp)
        group: Integers = np.unique(self.component_index * DEPTH_BANDS + band, return_inverse=True)[1]
        return group

    @cached_property
    def mac_shares(self) -> Floats:
        """``(slots,)``: share of each slot in the MACs of all slots; equal shares where MACs are not known."""
        macs = self.slot_macs.astype(np.float64)
        return macs / macs.sum() if macs.any() else np.full(len(macs), 1 / len(macs))

    @cached_property
    def parts(self) -> tuple[Floats, Floats]:
        """``(steps * slots, parts)`` members of the parts of the grid over which drift, and computes, are summed."""
        step = np.broadcast_to(np.arange(self.steps)[:, None], (self.steps, len(self.block_index)))
        component = np.broadcast_to(self.component_index, step.shape)
        depth = np.broadcast_to(self.depth, step.shape)
        step_band, third, fine_steps = (
            step * bands // self.steps for bands in (STEP_BANDS, THIRDS, min(FINE_STEP_BANDS, self.steps))
        )
        depth_band, fine_depth = ((depth * bands).astype(np.intp) for bands in (DEPTH_BANDS, FINE_DEPTH_BANDS))
        labels = [
            (step_band,),
            (component,),
            (depth_band,),
            (component, step_band),
            (fine_steps,),
            (component, fine_depth),
        ]
        return np.concatenate([_members(*each) for each in labels], axis=1), _members(component, third)


def _members(*labels: Integers) -> Floats:
    """One column for each combination that occurs of ``(steps, slots)`` labels: 1 where it does."""
    stacked = np.stack([values.ravel() for values in labels], axis=-1)
    combinations = np.unique(stacked, axis=0)
    members: Floats = (stacked[:, None] == combinations).all(axis=-1).astype(np.float64)
    return members


def features_and_drift(genes: Bits, context: FeatureContext) -> tuple[Floats, Floats]:
    """Aggregates of schedules, 88 for PixArt at 20 steps without skips, and what :func:`group_drift` gives.

    Args:
        genes: ``(n, steps, columns)``: effective bits, or genes as ``Schedule.genes`` gives
            them; the first row of each schedule counts as all computed.
        context: what is known of the transformer.

    Returns:
        Of ``(n, features)``:

        - errors of the outputs in use, which are their drift from the fresh ones where they are not forecast, summed
          over bands of steps, components, bands of depth, components by band of steps, single steps (bands of them in
          long runs), and components by band of depth;
        - share of computes of each component in each third of the run;
        - the share of MACs, the longest reuse, the share of fully reused steps, and the highest error of a step;
        - where steps may be skipped, the errors of the outputs that are used for them, by single steps (or bands) and
          in all, the highest of a step, their drift in all, and the share of skipped steps in each third of the run;
        - where guidance may be by one branch alone, the errors of that by single steps (or bands) and in all, the
          highest of a step, and the share of such steps in each third of the run;
        - where runs may have fewer steps, their share, and what having fewer is expected to do.

    Raises:
        ScheduleError: the genes do not fit the context.
    """
    uses = _uses(genes, context)
    computed = uses.compute.astype(np.float64)
    error_parts, compute_parts = context.parts
    whole_run = [
        (computed @ context.mac_shares).mean(axis=1),
        uses.stale.max(axis=(1, 2)),
        ((computed.sum(axis=2) == 0) & ~uses.skip & uses.there).mean(axis=1),
        uses.error.sum(axis=2).max(axis=1),
    ]
    columns = [
        uses.error.reshape(len(computed), -1) @ error_parts,
        computed.reshape(len(computed), -1) @ (compute_parts / compute_parts.sum(axis=0)),
        np.stack(whole_run, axis=1),
    ]
    if context.errors is not None:
        fine, thirds = (_bands(context.steps, bands) for bands in (FINE_STEP_BANDS, THIRDS))
        of_skips = np.stack(
            [uses.skip_error.sum(axis=1), uses.skip_error.max(axis=1), uses.skip_drift.sum(axis=1)], axis=1
        )
        columns += [uses.skip_error @ fine, of_skips, uses.skip @ (thirds / thirds.sum(axis=0))]
    if context.guidance is not None:
        fine, thirds = (_bands(context.steps, bands) for bands in (FINE_STEP_BANDS, THIRDS))
        off = uses.guidance_error
        columns += [off @ fine, np.stack([off.sum(axis=1), off.max(axis=1)], axis=1)]
        columns.append(uses.alone @ (thirds / thirds.sum(axis=0)))
    if context.plans is not None:
        columns.append(np.stack([uses.there.mean(axis=1), uses.shortened.sum(axis=1)], axis=1))
    return np.concatenate(columns, axis=1), _grouped(uses, context)


def computes(genes: Bits, context: FeatureContext) -> NDArray[np.intp]:
    """``(n,)``: how much each schedule computes, in slots; whether it fits the context is not looked at."""
    slots = len(context.block_index)
    if context.plans is None:
        compute = actions_of(genes, slots, _is_guided(genes, context)).compute.copy()
        compute[:, 0] = True
        found: NDArray[np.intp] = compute.sum(axis=(1, 2))
        return found
    places, found = counts_of(genes, np.asarray(context.plans.counts)), np.zeros(len(genes), dtype=np.intp)
    for place, (own, of_own) in enumerate(zip(context.plans.counts, context.plans.contexts, strict=True)):
        mine = np.flatnonzero(places == place)
        found[mine] = computes(genes[mine][:, plan_rows(int(own), context.steps), :-1], of_own)
    return found


def group_drift(genes: Bits, context: FeatureContext) -> Floats:
    """How far the outputs in use are from fresh ones, whether they are forecast or not.

    What forecasts are expected to miss grows by what a schedule has missed before; how far outputs move says more of
    it, and ranks evaluated schedules of nearly equal cost better. The rest is for the trees to learn.

    Args:
        genes: see :func:`features_and_drift`.
        context: what is known of the transformer.

    Returns:
        ``(n, steps, groups)``: drift, summed over the slots of each of ``context.groups``; where steps may be skipped,
        that of the transformer's output is one group more; where guidance may be by one branch alone, and
        where runs may have fewer steps, that is another.

    Raises:
        ScheduleError: the genes do not fit the context.
    """
    return _grouped(_uses(genes, context), context)


def _bands(steps: int, bands: int) -> Floats:
    """``(steps, bands)`` members."""
    return _members((np.arange(steps) * min(bands, steps) // steps)[:, None])


def _grouped(uses: _Uses, context: FeatureContext) -> Floats:
    sums: Floats = uses.drift @ np.eye(int(context.groups.max()) + 1)[context.groups]
    more = [] if context.errors is None else [uses.skip_drift]
    if context.guidance is not None:
        more.append(uses.guidance_error)
    if context.plans is not None:
        more.append(uses.shortened)
    return np.concatenate([sums, *(each[:, :, None] for each in more)], axis=2)


class _Uses(NamedTuple):
    """What ``n`` schedules compute, skip and use.

    Args:
        compute: ``(n, steps, slots)`` bool.
        skip: ``(n, steps)`` bool.
        stale: ``(n, steps, slots)``: age in steps of what is used; 0 in skipped steps.
        drift: ``(n, steps, slots)``: of what is used of each slot from the fresh one, as if it were reused.
        error: ``(n, steps, slots)``: the same, or of its forecast.
        skip_drift: ``(n, steps)``: of the transformer's output where it is used, on the scale of the sum over slots.
        skip_error: ``(n, steps)``: the same, or of its forecast.
        alone: ``(n, steps)`` bool: where one guidance branch is computed alone.
        guidance_error: ``(n, steps)``: of what stands in for the other one, on the scale of ``skip_drift``.
        there: ``(n, steps)`` bool: which steps there are; what is not there computes and uses nothing.
        shortened: ``(n, steps)``: what having fewer steps is expected to do, on the scale of ``skip_drift``.
    """

    compute: Bits
    skip: Bits
    stale: Integers
    drift: Floats
    error: Floats
    skip_drift: Floats
    skip_error: Floats
    alone: Bits
    guidance_error: Floats
    there: Bits
    shortened: Floats


def _plan_uses(genes: Bits, context: FeatureContext, plans: Plans) -> _Uses:
    """Of schedules of several numbers of steps, at the rows that each has."""
    count, steps, slots = len(genes), context.steps, len(context.block_index)
    wide, narrow = (count, steps, slots), (count, steps)
    found = _Uses(
        *(np.zeros(wide, bool), np.zeros(narrow, bool), np.zeros(wide, np.int64), np.zeros(wide), np.zeros(wide)),
        *(np.zeros(narrow), np.zeros(narrow), np.zeros(narrow, bool), np.zeros(narrow)),
        *(np.zeros(narrow, bool), np.zeros(narrow)),
    )
    places = counts_of(genes, np.asarray(plans.counts))
    for place, (own, of_own) in enumerate(zip(plans.counts, plans.contexts, strict=True)):
        mine, rows = np.flatnonzero(places == place), plan_rows(int(own), steps)
        if len(mine):
            at = np.ix_(mine, rows)
            for whole, part in zip(found, _uses(genes[mine][:, rows, :-1], of_own), strict=True):
                whole[at] = part
            found.shortened[at] = plans.errors[place] / own
    return found


def _uses(genes: Bits, context: FeatureContext) -> _Uses:
    if context.plans is not None:
        return _plan_uses(genes, context, context.plans)
    slots, steps = len(context.block_index), context.steps
    guided = context.guidance is not None
    wide = gene_columns(slots, int(context.component_index.max()) + 1, guided)
    if genes.shape[1] != steps or genes.shape[2] not in ((slots,) if context.errors is None else (slots, wide)):
        raise ScheduleError(
            f"The schedules have {genes.shape[1]} steps and {genes.shape[2]} columns, but the features are for {steps} "
            f"and {slots}{'' if context.errors is None else f' or {wide}'}."
        )
    guided = _is_guided(genes, context)
    compute, skip, damping, actions = actions_of(genes, slots, guided)
    compute = compute.copy()
    compute[:, 0] = True
    step = np.arange(steps, dtype=np.int32)[:, None]
    last = np.maximum.accumulate(compute * step, axis=1)
    stale = step - last
    # Flat indices, since fancy indexing by three arrays takes several times as long.
    drift: Floats = context.drift.ravel().take((np.arange(slots) * steps + step) * steps + last)
    error, skip_drift, skip_error = drift, np.zeros(skip.shape), np.zeros(skip.shape)
    if context.errors is not None and genes.shape[2] == wide:
        stale = np.where(skip[:, :, None], 0, stale)
        drift = np.where(skip[:, :, None], 0.0, drift)
        used = ~compute & ~skip[:, :, None]
        levels = damping[:, :, context.component_index]
        # Of the forecasts alone: looking errors up is most of what there is to do.
        at = np.nonzero(used & (levels > 0))
        error = drift.copy()
        error[at] = context.errors[levels[at], at[2], at[1], last[at], _before(last)[at]]
        run = np.maximum.accumulate(~skip * step[:, 0], axis=1)[:, :, None]
        of_output, of_reuse = (
            _forecast_error(~skip[:, :, None], run, levels, context.errors, np.array([slots]))
            for levels in (damping[:, :, -1:], np.zeros_like(damping[:, :, -1:]))
        )
        skip_error, skip_drift = (np.where(skip, each[:, :, 0], 0.0) * np.sqrt(slots) for each in (of_output, of_reuse))
    there, none, alone = np.ones_like(skip), np.zeros(skip.shape), ~skip & (actions != BOTH)
    off = none
    if guided and context.guidance is not None:
        both = (~skip & ~alone)[:, :, None]
        known = np.maximum.accumulate(both * step, axis=1)
        of_actions = np.maximum(actions.astype(np.intp) - KEEP, 0)[:, :, None]
        off = _forecast_error(both, known, of_actions, context.guidance[:, None], np.array([0]))[:, :, 0]
        off = np.where(alone, off, 0.0) * np.sqrt(slots)
    return _Uses(compute, skip, stale, drift, error, skip_drift, skip_error, alone, off, there, none)


def _is_guided(genes: Bits, context: FeatureContext) -> bool:
    """Whether genes say what is done about guidance."""
    columns = gene_columns(len(context.block_index), int(context.component_index.max()) + 1, guided=True)
    return context.guidance is not None and genes.shape[2] == columns


def _forecast_error(
    compute: Bits, last: Integers, levels: Integers, errors: NDArray[np.floating[Any]] | UseErrors, rows: Integers
) -> Floats:
    """``(n, steps, rows)``: of uses at ``(n, steps, rows)`` levels of damping, as if all were uses."""
    step = np.arange(compute.shape[1], dtype=np.intp)[:, None]
    found: Floats = errors[levels, rows, step, last, _before(last)].astype(np.float64)
    return found


def _before(last: Integers) -> Integers:
    """``(n, steps, rows)``: the step before the last computed one: the last one as it was when that was computed."""
    earlier = np.concatenate([last[:, :1], last[:, :-1]], axis=1)
    found: Integers = np.take_along_axis(earlier, last, axis=1)
    return found
