"""A dozen readable numbers that say what a schedule is like; the parameters of its trial in the dashboard."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ecad_automl.schedules.schedule import Bits, staleness

__all__ = ["THIRDS", "descriptor_names", "descriptor_ranges", "descriptors"]

THIRDS = ("early", "middle", "late")
COMPUTE_FRACTION = "compute fraction"
LONGEST_REUSE = "longest reuse"

#: With more components than this the thirds are told for all components together.
MOST_BY_THIRD = 4


def descriptor_names(components: Sequence[str]) -> tuple[str, ...]:
    """The names of the descriptors of a layout, in order.

    Up to four components are told by third of the run (``attn1 early``); with more, there is one number for each
    component (``proj_mlp``) and one for each third (``early``), so that no layout of up to nine components has more
    than 14.

    Args:
        components: names of the components, as in ``Layout.components``.
    """
    if len(components) <= MOST_BY_THIRD:
        fractions = [f"{component} {third}" for component in components for third in THIRDS]
    else:
        fractions = [*components, *THIRDS]
    return (*fractions, COMPUTE_FRACTION, LONGEST_REUSE)


def descriptor_ranges(components: Sequence[str], steps: int) -> dict[str, tuple[float, float]]:
    """The lowest and highest value that each descriptor can have, by name.

    Args:
        components: names of the components.
        steps: number of denoising steps.
    """
    ranges = dict.fromkeys(descriptor_names(components), (0.0, 1.0))
    return ranges | {LONGEST_REUSE: (0.0, float(steps - 1))}


def descriptors(compute: Bits, components: Sequence[str], component_index: NDArray[np.intp]) -> dict[str, float]:
    """Describe the effective bits of a schedule.

    Args:
        compute: ``(steps, slots)`` bool whose first row is all True: ``Schedule.effective``.
        components: names of the components.
        component_index: ``(slots,)`` position in ``components`` of each slot's component.

    Returns:
        By name, in the order of :func:`descriptor_names`: shares of computed bits from 0 to 1 (0 where a third has no
        step), and the longest reuse of one output, in steps.
    """
    third = np.arange(len(compute)) * len(THIRDS) // len(compute)
    values: list[float] = []
    if len(components) <= MOST_BY_THIRD:
        for component in range(len(components)):
            mine = compute[:, component_index == component]
            values += [_share(mine[third == part]) for part in range(len(THIRDS))]
    else:
        values += [_share(compute[:, component_index == component]) for component in range(len(components))]
        values += [_share(compute[third == part]) for part in range(len(THIRDS))]
    values += [_share(compute), float(staleness(compute).max())]
    return dict(zip(descriptor_names(components), values, strict=True))


def _share(bits: Bits) -> float:
    return float(bits.mean()) if bits.size else 0.0
