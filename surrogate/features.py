"""What the surrogate sees of a schedule: sums of drift over bands of the grid, instead of raw bits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecad_automl.errors import ScheduleError

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
class FeatureContext:
    """What is known of a transformer before any schedule is evaluated.

    Args:
        block_index: ``(slots,)`` position of each slot's block, in the order of a forward.
        component_index: ``(slots,)`` position of each slot's component in the list of components.
        slot_macs: ``(slots,)`` MACs of one computation of each slot.
        drift: ``(slots, steps, steps)``: ``drift[s, m, n]`` is the relative mean squared distance of the output of slot
            ``s`` at step ``n`` from the one at step ``m``, weighted by what it does.

    Raises:
        ScheduleError: the arrays do not belong together.
    """

    block_index: Integers
    component_index: Integers
    slot_macs: NDArray[np.int64]
    drift: Floats

    def __post_init__(self) -> None:
        slots = len(self.block_index)
        if not slots or len(self.component_index) != slots or len(self.slot_macs) != slots:
            raise ScheduleError(
                f"There are {slots} block indices, {len(self.component_index)} component indices and "
                f"{len(self.slot_macs)} slot MACs; one of each is needed for every slot."
            )
        if self.drift.shape != (slots, self.steps, self.steps):
            raise ScheduleError(f"The drift has the shape {self.drift.shape}; ({slots}, steps, steps) is needed.")

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


def features_and_drift(compute: Bits, context: FeatureContext) -> tuple[Floats, Floats]:
    """Aggregates of schedules, 88 for PixArt at 20 steps, and what :func:`group_drift` gives.

    Args:
        compute: ``(n, steps, slots)`` effective bits; the first row of each schedule counts as all True.
        context: what is known of the transformer.

    Returns:
        Of ``(n, features)``:

        - drift of the outputs in use from the fresh ones, summed over bands of steps, components, bands of depth,
          components by band of steps, single steps (bands of them in long runs), and components by band of depth;
        - share of computes of each component in each third of the run;
        - the share of MACs, the longest reuse, the share of fully reused steps, and the highest drift of a step.

    Raises:
        ScheduleError: the bits do not fit the context.
    """
    compute, stale, drift = _in_use(compute, context)
    computed = compute.astype(np.float64)
    drift_parts, compute_parts = context.parts
    whole_run = [
        (computed @ context.mac_shares).mean(axis=1),
        stale.max(axis=(1, 2)),
        (computed.sum(axis=2) == 0).mean(axis=1),
        drift.sum(axis=2).max(axis=1),
    ]
    columns = [
        drift.reshape(len(compute), -1) @ drift_parts,
        computed.reshape(len(compute), -1) @ (compute_parts / compute_parts.sum(axis=0)),
        np.stack(whole_run, axis=1),
    ]
    return np.concatenate(columns, axis=1), _grouped(drift, context)


def group_drift(compute: Bits, context: FeatureContext) -> Floats:
    """How far the outputs in use are from fresh ones.

    Args:
        compute: ``(n, steps, slots)`` effective bits; the first row of each schedule counts as all True.
        context: what is known of the transformer.

    Returns:
        ``(n, steps, groups)``: drift, summed over the slots of each of ``context.groups``.

    Raises:
        ScheduleError: the bits do not fit the context.
    """
    return _grouped(_in_use(compute, context)[2], context)


def _grouped(drift: Floats, context: FeatureContext) -> Floats:
    sums: Floats = drift @ np.eye(int(context.groups.max()) + 1)[context.groups]
    return sums


def _in_use(compute: Bits, context: FeatureContext) -> tuple[Bits, Integers, Floats]:
    """Bits with a computed first step, and of the outputs in use the age in steps and the drift."""
    _, steps, slots = compute.shape
    if (steps, slots) != (context.steps, len(context.block_index)):
        raise ScheduleError(
            f"The schedules have {steps} steps and {slots} slots, but the features are for {context.steps} and "
            f"{len(context.block_index)}."
        )
    compute = compute.copy()
    compute[:, 0] = True
    step = np.arange(steps, dtype=np.int32)[:, None]
    stale = step - np.maximum.accumulate(compute * step, axis=1)
    # Flat indices, since fancy indexing by three arrays takes several times as long.
    drift: Floats = context.drift.ravel().take((np.arange(slots) * steps + step) * steps + step - stale)
    return compute, stale, drift
