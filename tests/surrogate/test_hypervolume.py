from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymoo.indicators.hv import HV
from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

from surrogate import Reference, hypervolume, hypervolume_gain, non_dominated, staircase

REFERENCE = Reference(-1.0, 10.0)

points = st.lists(
    st.tuples(st.integers(-8, 8).map(lambda v: v / 4), st.integers(0, 48).map(lambda v: v / 4)), min_size=1, max_size=25
).map(np.array)


def pymoo_hypervolume(values: np.ndarray) -> float:
    return float(HV(ref_point=np.array([1.0, 10.0]))(np.stack([-values[:, 0], values[:, 1]], axis=1)))


@given(points)
def test_hypervolume_is_pymoos(values: np.ndarray) -> None:
    assert hypervolume(values[:, 0], values[:, 1], REFERENCE) == pytest.approx(pymoo_hypervolume(values))


@given(points)
def test_the_front_is_pymoos(values: np.ndarray) -> None:
    front = NonDominatedSorting().do(np.stack([-values[:, 0], values[:, 1]], axis=1), only_non_dominated_front=True)
    assert set(np.flatnonzero(non_dominated(values[:, 0], values[:, 1]))) == set(front)


@given(points, points)
def test_gain_is_the_difference_that_a_point_makes(known: np.ndarray, candidates: np.ndarray) -> None:
    before = pymoo_hypervolume(known)
    expected = [pymoo_hypervolume(np.vstack([known, candidate])) - before for candidate in candidates]
    gains = hypervolume_gain(candidates[:, 0], candidates[:, 1], staircase(known[:, 0], known[:, 1], REFERENCE))
    assert gains == pytest.approx(np.array(expected), abs=1e-9)
