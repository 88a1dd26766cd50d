from __future__ import annotations

from itertools import compress
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from ecad_automl.errors import CacheStateError, ScheduleError
from ecad_automl.runtime import apply_schedule, measure_drift
from ecad_automl.schedules.forecast import Forecasts
from ecad_automl.schedules.guidance import BOTH, KEEP
from ecad_automl.schedules.schedule import Schedule
from tests.runtime.cases import CASES

if TYPE_CHECKING:
    from tests.runtime.conftest import Case

EVERYTHING = 10**9


def recorded_outputs(case: Case, calls: list[dict[str, Any]]) -> list[np.ndarray]:
    """For each slot and the transformer, ``(steps, elements)`` raw outputs over all calls and guidance branches."""
    rows: list[list[list[np.ndarray]]] = [[[] for _ in range(4)] for _ in range(len(case.layout.slots) + 1)]
    forwards = 0

    def count(*_: Any) -> None:
        nonlocal forwards
        forwards += 1

    def recorder(index: int) -> Any:
        def record(_module: Any, _args: Any, output: Any) -> None:
            whole = index == len(case.layout)
            tensors = output[0] if whole else output
            tensors = (tensors,) if isinstance(tensors, torch.Tensor) else tensors
            step = forwards // case.calls_per_step % 4
            rows[index][step] += [tensor.double().numpy().ravel() for tensor in tensors]

        return record

    transformer = case.pipe.transformer
    modules = [*(transformer.get_submodule(slot.name) for slot in case.layout.slots), transformer]
    handles = [module.register_forward_hook(recorder(index)) for index, module in enumerate(modules)]
    handles.append(transformer.register_forward_hook(count))
    for call in calls:
        case.generate(**call)
    for handle in handles:
        handle.remove()
    return [np.stack([np.concatenate(parts) for parts in steps]) for steps in rows]


@pytest.mark.every_family
def test_with_all_elements_drift_is_its_definition(case: Case) -> None:
    calls: list[dict[str, Any]] = [{"images": 2}, {"images": 1, "seed": 3}]
    drift = measure_drift(case.pipe, lambda: [case.generate(**call) for call in calls], steps=4, probes=EVERYTHING)
    assert drift.slots == tuple(slot.name for slot in case.layout.slots)
    *slots, whole = recorded_outputs(case, calls)
    for index, x in enumerate(slots):
        power, distance = moments(x)
        assert_allclose(drift.magnitude[index], np.sqrt(power), rtol=1e-5)
        assert_allclose(drift.distance[index], distance, rtol=1e-5, atol=1e-12)
    assert drift.output is not None
    assert_allclose(drift.output, moments(whole)[1], rtol=1e-5, atol=1e-12)
    # CogVideoX's own multistep sampler takes other arguments than all others.
    alone = type(case.pipe.scheduler).__name__ != "CogVideoXDPMScheduler"
    assert (None if drift.response is None else drift.response.shape) == ((4,) if alone else None)
    assert bool(drift.no_response) is not alone


def moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of ``(steps, elements)`` the power of each step and the relative distances of all."""
    power = (x**2).mean(axis=1)
    moved = ((x[:, None] - x[None]) ** 2).mean(axis=2)
    return power, 2 * moved / (power[:, None] + power[None])


def test_distances_are_symmetric_and_zero_from_a_step_to_itself(case: Case) -> None:
    drift = measure_drift(case.pipe, case.generate, steps=4)
    assert drift.distance.shape == (len(case.layout), 4, 4)
    assert (drift.distance == drift.distance.transpose(0, 2, 1)).all()
    assert (np.diagonal(drift.distance, axis1=1, axis2=2) == 0).all()
    assert ((drift.distance >= 0) & (drift.distance <= 4)).all()
    # What sees the text alone, as a context refiner, never moves; all else does in every step.
    still = (drift.distance < 1e-12).all(axis=(1, 2))
    assert (drift.distance[~still, 0, 1:] > 0).all()
    assert all("refiner" in slot.block for slot in compress(case.layout.slots, still))
    assert (drift.magnitude > 0).all()


def test_a_sample_of_the_elements_estimates_all_of_them(flux: Case) -> None:
    full = measure_drift(flux.pipe, lambda: flux.generate(images=8), steps=4, probes=EVERYTHING)
    part = measure_drift(flux.pipe, lambda: flux.generate(images=8), steps=4, probes=400)
    assert part != full
    assert_allclose(part.magnitude, full.magnitude, rtol=0.25)
    assert_allclose(part.distance, full.distance, rtol=0.5)


def test_the_seed_decides_which_elements_are_kept(pixart: Case) -> None:
    first, same, other = (
        measure_drift(pixart.pipe, pixart.generate, steps=4, probes=50, seed=seed) for seed in (1, 1, 2)
    )
    assert first == same
    assert first != other


def test_measuring_changes_neither_images_nor_model(case: Case) -> None:
    before = case.generate()
    held = [set(vars(module)) for module in case.pipe.transformer.modules()]
    images = []
    measure_drift(case.pipe, lambda: images.append(case.generate()), steps=4)
    assert torch.equal(images[0], before)
    assert [set(vars(module)) for module in case.pipe.transformer.modules()] == held


@pytest.mark.parametrize(
    ("run", "error"),
    [
        (lambda case: case.generate(steps=5), "has 4 steps, but .* is set to 5"),
        (lambda _: None, "broken off or none was made"),
    ],
)
def test_runs_that_are_not_whole_are_refused(case: Case, run: Any, error: str) -> None:
    with pytest.raises((CacheStateError, ScheduleError), match=error):
        measure_drift(case.pipe, lambda: run(case), steps=4)


def test_a_run_broken_off_is_refused_even_before_a_whole_one(pixart: Case) -> None:
    def stop(*_: Any) -> None:
        raise ZeroDivisionError

    def run() -> None:
        with pytest.raises(ZeroDivisionError):
            pixart.generate(callback=stop, callback_steps=1)
        pixart.generate()

    with pytest.raises(CacheStateError, match="broken off"):
        measure_drift(pixart.pipe, run, steps=4)


def test_a_pipeline_under_a_schedule_cannot_be_measured(pixart: Case) -> None:
    with (
        apply_schedule(pixart.pipe, pixart.random_schedule(0)),
        pytest.raises(CacheStateError, match="already under a schedule"),
    ):
        measure_drift(pixart.pipe, pixart.generate, steps=4)


@pytest.mark.parametrize("numbers", [{"steps": 0}, {"steps": 4, "probes": 0}])
def test_nonsense_numbers_are_refused(pixart: Case, numbers: dict[str, int]) -> None:
    with pytest.raises(ScheduleError, match="must be above 0"):
        measure_drift(pixart.pipe, pixart.generate, **numbers)


@pytest.mark.parametrize("name", ["pixart-guided", "dit-guided", "zimage-guided", "flux-true-cfg", "lumina2-guided"])
def test_the_difference_of_guidance_branches_is_measured(name: str) -> None:
    case = CASES[name]()
    given: list[list[torch.Tensor]] = []

    def note(_module: object, _args: object, output: Any) -> None:
        first = output[0]
        given.append([tensor.clone() for tensor in (first if isinstance(first, list) else [first])])

    with case.pipe.transformer.register_forward_hook(note):
        drift = measure_drift(case.pipe, lambda: case.generate(images=2), steps=4, probes=10**6)
    differences = []
    for step in range(4):
        calls = given[step * case.calls_per_step :][: case.calls_per_step]
        if case.calls_per_step == 2:
            difference = calls[0][0] - calls[1][0]
        else:
            halves = torch.cat(calls[0]).chunk(2)
            difference = halves[0] - halves[1]
            if case.one_batch is not None and not case.one_batch.conditional_first:
                difference = -difference
        differences.append(difference.double().flatten().numpy())
    x = np.stack(differences)
    power = (x**2).mean(axis=1)
    moved = ((x[:, None] - x[None]) ** 2).mean(axis=2) / ((power[:, None] + power) / 2)
    assert drift.guidance is not None
    assert drift.guidance_magnitude is not None
    np.testing.assert_allclose(drift.guidance, moved, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(drift.guidance_magnitude, np.sqrt(power), rtol=1e-4)
    weights = Forecasts(drift, case.layout.component_index)
    schedule = Schedule(
        case.layout, np.ones((4, len(case.layout))), None, None, weights, guidance=[BOTH, BOTH, KEEP + 3, BOTH]
    )
    best = np.linalg.lstsq(x[[1, 0]].T, x[2], rcond=None)[0]
    missed = x[2] - best @ x[[1, 0]]
    ours = x[2] - schedule.guidance.weights[2] @ x[[1, 0]]
    assert (ours**2).mean() < 1.1 * (missed**2).mean() + 0.05 * power[2]  # weights are drawn to reuse


@pytest.mark.parametrize("name", ["pixart-unguided", "flux"])
def test_without_guidance_there_is_no_difference(name: str) -> None:
    case = CASES[name]()
    drift = measure_drift(case.pipe, lambda: case.generate(steps=3, images=2), steps=3)
    assert drift.guidance is None
    assert drift.guidance_magnitude is None
