"""What the surrogate sees of a schedule: sums of staleness and drift over bands of the grid, instead of raw bits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecad_automl.errors import ScheduleError

__all__ = ["FeatureContext", "feature_names", "features", "features_and_drift", "group_drift"]

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
        drift: ``(slots, steps, steps)``, or None where it was not measured: ``drift[s, m, n]`` is the relative mean
            squared distance of the output of slot ``s`` at step ``n`` from the one at step ``m``.
        magnitude: ``(slots, steps)``, or None for 1: weight of a unit of drift of each slot at each step.

    Raises:
        ScheduleError: the arrays do not belong together.
    """

    block_index: Integers
    component_index: Integers
    slot_macs: NDArray[np.int64]
    drift: Floats | None = None
    magnitude: Floats | None = None

    def __post_init__(self) -> None:
        slots = len(self.block_index)
        if not slots or len(self.component_index) != slots or len(self.slot_macs) != slots:
            raise ScheduleError(
                f"There are {slots} block indices, {len(self.component_index)} component indices and "
                f"{len(self.slot_macs)} slot MACs; one of each is needed for every slot."
            )
        if self.drift is not None:
            steps = self.drift.shape[-1]
            if self.drift.shape != (slots, steps, steps):
                raise ScheduleError(f"The drift has the shape {self.drift.shape}; ({slots}, steps, steps) is needed.")
            if self.magnitude is not None and self.magnitude.shape != (slots, steps):
                raise ScheduleError(
                    f"The magnitude has the shape {self.magnitude.shape}; ({slots}, {steps}) is needed."
                )

    @cached_property
    def weighted_drift(self) -> Floats | None:
        """``(slots, steps, steps)``: the drift times the magnitude at the step where it matters."""
        if self.drift is None or self.magnitude is None:
            return self.drift
        return self.drift * self.magnitude[:, :, None]

    @cached_property
    def groups(self) -> Integers:
        """``(slots,)``: component and band of depth of each slot, numbered together."""
        band = (_depth(self) * DEPTH_BANDS).astype(np.intp)
        group: Integers = np.unique(self.component_index * DEPTH_BANDS + band, return_inverse=True)[1]
        return group

    @cached_property
    def mac_shares(self) -> Floats:
        """``(slots,)``: share of each slot in the MACs of all slots; equal shares where MACs are not known."""
        macs = self.slot_macs.astype(np.float64)
        return macs / macs.sum() if macs.any() else np.full(len(macs), 1 / len(macs))


def feature_names(context: FeatureContext, steps: int) -> tuple[str, ...]:
    """The names of the columns of :func:`features`.

    Args:
        context: as for :func:`features`.
        steps: number of denoising steps.
    """
    sums = [f"{quantity} {name}" for quantity, groups in _plan(context, steps).items() for name, _ in groups]
    return (*sums, *_whole_run_names(context))


def features(compute: Bits, context: FeatureContext) -> Floats:
    """Aggregates of schedules: 88 for PixArt at 20 steps where the drift is known, 44 where it is not.

    Args:
        compute: ``(n, steps, slots)`` effective bits; the first row of each schedule counts as all True.
        context: what is known of the transformer.

    Returns:
        ``(n, len(feature_names(context, steps)))``:

        - *drift*: drift of the outputs in use from the fresh ones, summed over bands of steps, components, bands of
          depth, components by band of steps, single steps (bands of them in long runs), and components by band of
          depth; where it is not known, *stale*: staleness in steps, summed over all but the last two;
        - *compute*: share of computes of each component in each third of the run;
        - the share of MACs, the longest reuse, the share of fully reused steps, and the highest drift of a step.

    Raises:
        ScheduleError: the bits do not fit the context.
    """
    return _features(*_in_use(compute, context), context)


def features_and_drift(compute: Bits, context: FeatureContext) -> tuple[Floats, Floats]:
    """What :func:`features` and :func:`group_drift` give, in less time than both take.

    Raises:
        ScheduleError: the bits do not fit the context.
    """
    compute, stale, drift = _in_use(compute, context)
    return _features(compute, stale, drift, context), _grouped(drift, context)


def _features(compute: Bits, stale: Integers, drift: Floats, context: FeatureContext) -> Floats:
    count, steps, _ = compute.shape
    # Where the drift is not known, the age stands for it.
    quantities = {"stale" if context.drift is None else "drift": drift, "compute": compute.astype(np.float64)}
    columns = []
    for quantity, groups in _plan(context, steps).items():
        members = np.stack([mask.ravel() for _, mask in groups], axis=1).astype(np.float64)
        if quantity == "compute":
            members /= members.sum(axis=0)
        columns.append(quantities[quantity].reshape(count, -1) @ members)
    columns.append(_whole_run(quantities, stale, context))
    return np.concatenate(columns, axis=1)


def group_drift(compute: Bits, context: FeatureContext) -> Floats:
    """How far the outputs in use are from fresh ones: their drift, or their age in steps where drift is not known.

    Args:
        compute: ``(n, steps, slots)`` effective bits; the first row of each schedule counts as all True.
        context: what is known of the transformer.

    Returns:
        ``(n, steps, groups)``: sums over the slots of each of ``context.groups``.

    Raises:
        ScheduleError: the bits do not fit the context.
    """
    return _grouped(_in_use(compute, context)[2], context)


def _grouped(by_slot: Floats, context: FeatureContext) -> Floats:
    sums: Floats = by_slot @ np.eye(int(context.groups.max()) + 1)[context.groups]
    return sums


def _in_use(compute: Bits, context: FeatureContext) -> tuple[Bits, Integers, Floats]:
    """Bits with a computed first step, and of the outputs in use the age in steps and the drift, or the age for it."""
    compute, stale = _staleness(compute, context)
    return compute, stale, stale.astype(np.float64) if context.drift is None else _drift(stale, context)


def _staleness(compute: Bits, context: FeatureContext) -> tuple[Bits, Integers]:
    """The bits with a computed first step, and the age of each output in use in steps."""
    _, steps, slots = compute.shape
    if slots != len(context.block_index):
        raise ScheduleError(f"The schedules have {slots} slots, but the features are for {len(context.block_index)}.")
    if context.drift is not None and context.drift.shape[1] != steps:
        raise ScheduleError(
            f"The schedules have {steps} steps, but the drift was measured over {context.drift.shape[1]}."
        )
    compute = compute.copy()
    compute[:, 0] = True
    step = np.arange(steps, dtype=np.int32)[:, None]
    return compute, step - np.maximum.accumulate(compute * step, axis=1)


def _drift(stale: Integers, context: FeatureContext) -> Floats:
    drift = context.weighted_drift
    assert drift is not None
    _, steps, slots = stale.shape
    step = np.arange(steps)[:, None]
    # Flat indices, since fancy indexing by three arrays takes several times as long.
    taken: Floats = drift.ravel().take((np.arange(slots) * steps + step) * steps + step - stale)
    return taken


def _plan(context: FeatureContext, steps: int) -> dict[str, list[tuple[str, Bits]]]:
    """For each quantity the groups over which it is summed: a name and the ``(steps, slots)`` members of each."""
    step = np.broadcast_to(np.arange(steps)[:, None], (steps, len(context.block_index)))
    component = np.broadcast_to(context.component_index, step.shape)
    depth = np.broadcast_to(_depth(context), step.shape)
    step_band, third = step * STEP_BANDS // steps, step * THIRDS // steps
    depth_band = (depth * DEPTH_BANDS).astype(np.intp)
    coarse = [
        *_groups(("steps", step_band)),
        *_groups(("component", component)),
        *_groups(("depth", depth_band)),
        *_groups(("component", component), ("steps", step_band)),
    ]
    compute = list(_groups(("component", component), ("third", third)))
    if context.drift is None:
        return {"stale": coarse, "compute": compute}
    fine = [
        *_groups(("fine steps", step * min(FINE_STEP_BANDS, steps) // steps)),
        *_groups(("component", component), ("fine depth", (depth * FINE_DEPTH_BANDS).astype(np.intp))),
    ]
    return {"drift": [*coarse, *fine], "compute": compute}


def _groups(*labels: tuple[str, Integers]) -> Iterator[tuple[str, Bits]]:
    """One group for each combination of labels that occurs; each label is a name and ``(steps, slots)`` integers."""
    stacked = np.stack([values for _, values in labels], axis=-1)
    for combination in np.unique(stacked.reshape(-1, len(labels)), axis=0):
        name = " ".join(f"{name} {value}" for (name, _), value in zip(labels, combination, strict=True))
        yield name, (stacked == combination).all(axis=-1)


def _depth(context: FeatureContext) -> Floats:
    """``(slots,)``: where each slot stands among those of its component, in forward order: from 0 to below 1."""
    depth = np.zeros(len(context.block_index))
    for component in np.unique(context.component_index):
        mine = np.flatnonzero(context.component_index == component)
        depth[mine[np.argsort(context.block_index[mine], kind="stable")]] = np.arange(len(mine)) / len(mine)
    return depth


def _whole_run_names(context: FeatureContext) -> tuple[str, ...]:
    names = ("MAC share", "longest reuse", "fully reused steps")
    return names if context.drift is None else (*names, "highest drift of a step")


def _whole_run(quantities: dict[str, Floats], stale: Integers, context: FeatureContext) -> Floats:
    """``(n, len(_whole_run_names(context)))``."""
    compute = quantities["compute"]
    columns = [
        (compute @ context.mac_shares).mean(axis=1),
        stale.max(axis=(1, 2)),
        (compute.sum(axis=2) == 0).mean(axis=1),
    ]
    if "drift" in quantities:
        columns.append(quantities["drift"].sum(axis=2).max(axis=1))
    return np.stack(columns, axis=1)
