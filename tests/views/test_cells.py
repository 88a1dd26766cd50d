from __future__ import annotations

from itertools import combinations

import numpy as np

from ecad_automl.schedules.layout import Layout, Slot
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.views.cells import CELLS, COMPUTED, REUSED, SKIPPED, UNGUIDED, cells, guidance_cells, legend

# What eyes without one kind of cones see of linear red, green and blue (Viénot, Brettel and Mollon, 1999).
PROTANOPE = np.array([[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]])
DEUTERANOPE = np.array([[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]])


def example() -> Schedule:
    slots = (Slot("b.0", "attn"), Slot("b.0", "ff"), Slot("b.1", "attn"), Slot("b.1", "ff"))
    compute = np.zeros((6, 4), dtype=bool)
    compute[:2] = True
    compute[4, 0] = True
    levels = np.zeros((6, 3), dtype=int)
    levels[2, 0], levels[4, 1] = 3, 1
    return Schedule(Layout("T", slots), compute, [0, 0, 0, 1, 0, 0], levels, np.tile([1.5, -0.5], (6, 5, 1)))


def test_each_cell_tells_what_is_done() -> None:
    assert cells(example()).tolist() == [
        [COMPUTED] * 4,
        [COMPUTED] * 4,
        [3, REUSED, 3, REUSED],
        [SKIPPED] * 4,
        [COMPUTED, 1, REUSED, 1],
        [REUSED] * 4,
    ]
    assert [CELLS[cell].name for cell in legend(example())] == [
        "reused",
        "forecast by 1/3",
        "forecast",
        "computed",
        "skipped",
    ]


def test_a_legend_explains_what_occurs_alone() -> None:
    compute = np.ones((3, 4))
    assert legend(Schedule(example().layout, compute)) == (COMPUTED,)
    assert legend(Schedule(example().layout, compute, [0, 1, 0])) == (COMPUTED, SKIPPED)
    compute[1] = 0
    assert legend(Schedule(example().layout, compute)) == (REUSED, COMPUTED)


def test_guidance_has_a_row_of_its_own_where_a_branch_is_left_out() -> None:
    weights = np.tile([1.5, -0.5], (6, 1))
    guided = Schedule(example().layout, np.ones((6, 4)), [0, 0, 0, 1, 0, 0], None, None, [0, 0, 1, 0, 4, 5], weights)
    found = guidance_cells(guided)
    assert found is not None
    assert found.tolist() == [COMPUTED, COMPUTED, REUSED, SKIPPED, 3, UNGUIDED]
    assert [CELLS[cell].name for cell in legend(guided)] == [
        *("reused", "forecast", "computed", "skipped", "without guidance")
    ]
    assert guidance_cells(example()) is None


def linear(color: str) -> np.ndarray:
    channels = np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def test_colors_stay_apart_for_color_blind_readers() -> None:
    """Skipped cells are hatched, so their color need not."""
    colors = [linear(cell.color) for number, cell in enumerate(CELLS) if number != SKIPPED]
    for seen in (np.eye(3), PROTANOPE, DEUTERANOPE):
        for one, other in combinations(colors, 2):
            # Cube roots are about as even as eyes are.
            apart = np.cbrt(np.clip(seen @ one, 0, 1)) - np.cbrt(np.clip(seen @ other, 0, 1))
            assert np.linalg.norm(apart) > 0.15
