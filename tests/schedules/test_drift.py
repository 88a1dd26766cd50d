from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from ecad_automl.errors import ScheduleError, StorageError
from ecad_automl.schedules.drift import Drift
from ecad_automl.schedules.layout import Layout, Slot


def random_drift(seed: int = 0, slots: int = 3, steps: int = 4, *, whole: bool = True) -> Drift:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(slots + whole, steps, 50))
    moved = ((x[:, :, None] - x[:, None]) ** 2).mean(axis=-1)
    names = tuple(f"blocks.{i}.ff" for i in range(slots))
    return Drift.from_moments(names, moved, (x**2).mean(axis=-1), rng.random(steps) if whole else None)


@settings(max_examples=30)
@given(st.integers(0, 1000), st.integers(1, 5), st.integers(1, 6), st.booleans())
def test_bytes_bring_the_drift_back(seed: int, slots: int, steps: int, whole: bool) -> None:
    drift = random_drift(seed, slots, steps, whole=whole)
    again = Drift.from_bytes(drift.to_bytes())
    assert again == drift
    assert again.steps == steps
    assert again.distance.dtype == again.magnitude.dtype == np.float32


def test_distances_are_relative_to_the_mean_power_of_the_two_steps() -> None:
    # The outputs at three steps are 1, 3 and -1.
    x = np.array([1.0, 3.0, -1.0])
    drift = Drift.from_moments(("b.ff",), ((x[:, None] - x) ** 2)[None], (x**2)[None])
    assert_allclose(drift.distance[0], [[0, 0.8, 4], [0.8, 0, 3.2], [4, 3.2, 0]], rtol=1e-6)
    assert_allclose(drift.magnitude[0], [1, 3, 1])


def test_a_slot_that_gives_nothing_has_no_drift() -> None:
    drift = Drift.from_moments(("b.ff",), np.zeros((1, 2, 2)), np.zeros((1, 2)))
    assert (drift.distance == 0).all()


def test_arrays_are_read_only_copies() -> None:
    distance, magnitude = np.zeros((1, 2, 2), np.float32), np.ones((1, 2), np.float32)
    drift = Drift(("b.ff",), distance, magnitude)
    distance[:] = 5
    assert (drift.distance == 0).all()
    with pytest.raises(ValueError, match="read-only"):
        drift.magnitude[0, 0] = 2


def test_different_drifts_are_not_equal() -> None:
    assert random_drift(0) != random_drift(1)
    assert random_drift(0) != "drift"


def test_expected_errors_add_up_to_the_distance_of_the_output_weighted_by_the_response() -> None:
    drift = random_drift(slots=5, steps=6)
    assert drift.output is not None
    assert drift.response is not None
    error = drift.expected_error()
    weights = np.sqrt(drift.response) / np.sqrt(drift.response).mean()
    assert_allclose(error.mean(axis=0), drift.output * weights[:, None], rtol=1e-5, atol=1e-7)
    # At one step, slots keep their proportions.
    assert_allclose(
        error[1, 4, 2] / error[3, 4, 2],
        drift.distance[1, 4, 2] / drift.distance[3, 4, 2],
    )


def test_why_there_is_no_response_is_kept() -> None:
    drift = replace(random_drift(), response=None, no_response="It cannot be run.")
    assert Drift.from_bytes(drift.to_bytes()).no_response == "It cannot be run."
    assert Drift.from_bytes(random_drift().to_bytes()).no_response == ""


def test_the_expected_error_of_an_older_drift_is_its_distance() -> None:
    drift = random_drift(whole=False)
    assert drift.output is None
    assert_allclose(drift.expected_error(), drift.distance)


def test_whole_figures_of_another_length_are_refused() -> None:
    whole = random_drift(steps=4)
    with pytest.raises(ScheduleError, match="4 steps has the response"):
        Drift(whole.slots, whole.distance, whole.magnitude, whole.output, response=np.ones(5, np.float32))
    with pytest.raises(ScheduleError, match="4 steps has the output"):
        Drift(whole.slots, whole.distance, whole.magnitude, np.ones((4, 5), np.float32))


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ScheduleError, match=r"2 slots has distances of the shape \(1, 2, 2\)"):
        Drift(("a.ff", "b.ff"), np.zeros((1, 2, 2), np.float32), np.ones((2, 2), np.float32))


def test_a_drift_of_another_model_is_refused() -> None:
    drift = random_drift(slots=2)
    drift.check_fits(Layout("T", (Slot("blocks.0", "ff"), Slot("blocks.1", "ff"))))
    with pytest.raises(ScheduleError, match="measured on 2 slots, which are not the 1 slots of T"):
        drift.check_fits(Layout("T", (Slot("blocks.0", "ff"),)))


@pytest.mark.parametrize("data", [b"", b"nonsense", random_drift().to_bytes()[:-40]])
def test_broken_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(StorageError, match=f"A drift of {len(data)} bytes cannot be read"):
        Drift.from_bytes(data)


def test_reading_a_drift_needs_no_torch() -> None:
    code = "import sys, ecad_automl.schedules.drift; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
