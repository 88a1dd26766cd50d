"""What blocks take of the time is made for several steps at once, with the bits of making it step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
import torch
from torch import nn

from ecad_automl.runtime import apply_schedule
from ecad_automl.runtime.ahead import Ahead, Prepared
from tests.runtime.cases import CASES
from tests.runtime.test_layouts import macs_of_a_run

if TYPE_CHECKING:
    from tests.runtime.conftest import Case

STEPS = 6
STEP_BY_STEP = mock.patch.object(Ahead, "of", return_value=None)


def images(case: Case, seed: int, *, by_step: bool = False) -> torch.Tensor:
    with apply_schedule(case.pipe, case.random_schedule(seed, steps=STEPS)):
        if by_step:
            with STEP_BY_STEP:
                return case.generate(steps=STEPS)
        return case.generate(steps=STEPS)


@pytest.mark.every_family
def test_bits_are_those_of_making_it_step_by_step(case: Case) -> None:
    assert torch.equal(images(case, 1), images(case, 1, by_step=True))


@pytest.mark.parametrize("name", ["flux", "flux-true-cfg", "sd3-guided", "qwen-image-guided"])
def test_it_is_made_for_all_steps_after_the_first_at_once(name: str) -> None:
    case = CASES[name]()
    schedule = case.random_schedule(1, steps=STEPS)
    with apply_schedule(case.pipe, schedule):
        case.generate(steps=STEPS)
        with (
            mock.patch.object(Ahead, "_prepare", autospec=True, side_effect=Ahead._prepare) as prepare,
            mock.patch.object(Prepared, "fits", autospec=True, side_effect=Prepared.fits) as fits,
        ):
            case.generate(steps=STEPS)
        assert macs_of_a_run(case, steps=STEPS) == schedule.run_macs
    assert [call.args[1].step for call in prepare.call_args_list] == [1] * case.calls_per_step
    assert fits.call_count == (STEPS - 2) * case.calls_per_step


@pytest.mark.parametrize("what", ["time", "text", "text in place"])
def test_a_step_that_is_given_something_else_does_not_use_it(what: str) -> None:
    case = CASES["flux"]()
    plain, calls = images(case, 1), 0

    def change(_module: nn.Module, args: Any, kwargs: dict[str, Any]) -> Any:
        nonlocal calls
        calls += 1
        text = kwargs["pooled_projections"]
        if what == "text in place":
            text.mul_({4: 2.0, STEPS: 0.5}.get(calls, 1.0))
        elif calls == 4:
            name = "timestep" if what == "time" else "pooled_projections"
            kwargs[name] = kwargs[name] * 1.5
        return args, kwargs

    found = []
    with case.pipe.transformer.register_forward_pre_hook(change, with_kwargs=True):
        for by_step in (False, True):
            calls = 0
            found.append(images(case, 1, by_step=by_step))
    assert torch.equal(*found)
    assert not torch.equal(found[0], plain)
