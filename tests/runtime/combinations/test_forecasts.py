"""Schedules that skip steps and forecast outputs, with what wraps the transformer's forward or changes its weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from ecad_automl.runtime import apply_schedule
from tests.runtime.cases import CASES, Case
from tests.runtime.combinations.table import COMBINATIONS, FLUX, PIXART

if TYPE_CHECKING:
    from tests.runtime.conftest import Reference

STEPS = 6
WRAPPING = (
    *("bf16", "autocast", "inference-mode", "model-offload", "sequential-offload", "group-offload-leaves-disk"),
    *("layerwise-casting", "lora"),
)


@pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")  # norms under autocast
@pytest.mark.parametrize("name", [PIXART, FLUX])
@pytest.mark.parametrize("key", WRAPPING)
def test_skipped_steps_and_forecasts_work_with(key: str, name: str, reference: Reference, tmp_path: Path) -> None:
    combination = COMBINATIONS[key]
    if name not in combination.cases:
        pytest.skip("diffusers does not do it on this model")

    def run(case: Case) -> torch.Tensor:
        with combination.during():
            return case.generate(steps=STEPS)

    case = CASES[name]()
    schedule = case.random_forecasts(1)
    combination.put(case, tmp_path)
    plain = run(case)
    expected = reference(case, schedule, lambda: run(case))
    assert not torch.equal(expected, plain)
    for when in ("before", "between"):
        case = CASES[name]()
        if when == "before":
            combination.put(case, tmp_path)
        handle = apply_schedule(case.pipe, schedule, fuse=False)
        if when == "between":
            case.generate(steps=STEPS)
            combination.put(case, tmp_path)
        for _ in range(2):
            assert torch.equal(run(case), expected), when
        handle.remove()
        assert torch.equal(run(case), plain), when
