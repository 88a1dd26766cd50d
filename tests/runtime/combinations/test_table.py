"""Each combination of the table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from torch.testing import assert_close

from ecad_automl.runtime import apply_schedule
from ecad_automl.schedules.schedule import Schedule
from tests.runtime.cases import CASES, Case
from tests.runtime.combinations.table import (
    COMBINATIONS,
    CORE,
    EACH,
    FLUX,
    PIXART,
    QUANTISED,
    SD3,
    STEPS,
    WHEN,
    Combination,
    schedule_for,
)

if TYPE_CHECKING:
    from tests.runtime.conftest import Reference


@pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")  # norms under autocast
@pytest.mark.parametrize(("combination", "name"), EACH)
def test_a_schedule_works_with(combination: Combination, name: str, reference: Reference, tmp_path: Path) -> None:
    if combination.needs is not None:
        pytest.importorskip(combination.needs, reason=f"{combination.needs} is not installed")

    def new(*, put: bool) -> Case:
        case = CASES[name]()
        if put:
            combination.put(case, tmp_path)
        return case

    # A case of its own, since the reference takes wrapped forwards off the slots when it is done.
    case = new(put=True)
    plain = combination.run(case)
    schedule = schedule_for(name)
    expected = reference(case, schedule, lambda: combination.run(case))
    assert not torch.equal(expected, plain)

    # All of them for each would take too long.
    orders = ("between",) if name == SD3 else ("before", "between") if combination.recorded else WHEN
    for when in orders:
        case = new(put=when == "before")
        handle = apply_schedule(case.pipe, schedule, fuse=False)
        if when == "between":
            case.generate(steps=STEPS)
        if when != "before":
            combination.put(case, tmp_path)
        assert torch.equal(combination.run(case), expected), when
        if when == "before":
            assert torch.equal(combination.run(case), expected)
        if combination.recorded or when != "before":
            assert handle.whole_blocks == {}, when
        handle.remove()
        assert torch.equal(combination.run(case), plain), when

    if combination.tolerance is not None:
        with apply_schedule(case.pipe, schedule):
            scale = float(expected.abs().max())
            assert_close(
                combination.run(case), expected, rtol=combination.tolerance, atol=combination.tolerance * scale
            )


@pytest.mark.parametrize("key", [key for key in COMBINATIONS if key.startswith(QUANTISED)])
@pytest.mark.parametrize("name", [PIXART, FLUX])
def test_computing_all_is_the_quantised_pipeline(key: str, name: str, tmp_path: Path) -> None:
    combination, case = COMBINATIONS[key], CASES[name]()
    if combination.needs is not None:
        pytest.importorskip(combination.needs, reason=f"{combination.needs} is not installed")
    exact = case.generate(steps=STEPS)
    combination.put(case, tmp_path)
    quantised = case.generate(steps=STEPS)
    assert not torch.equal(quantised, exact)
    with apply_schedule(case.pipe, Schedule.all_compute(case.layout, STEPS)) as handle:
        assert torch.equal(case.generate(steps=STEPS), quantised)
        assert handle.whole_blocks == {}


@pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")
@pytest.mark.parametrize("key", ["fp16", "bf16", "autocast"])
@pytest.mark.parametrize("name", CORE)
def test_fused_adds_round_no_worse_in_low_precision(key: str, name: str, reference: Reference, tmp_path: Path) -> None:
    exact_case, case = CASES[name](), CASES[name]()
    schedule = schedule_for(name)
    exact = reference(exact_case, schedule, lambda: exact_case.generate(steps=STEPS))
    combination = COMBINATIONS[key]
    combination.put(case, tmp_path)
    errors = []
    for fuse in (False, True):
        with apply_schedule(case.pipe, schedule, fuse=fuse):
            errors.append(float((combination.run(case).float() - exact).norm()))
    assert 0 < errors[1] < 1.3 * errors[0]
