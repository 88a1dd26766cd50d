"""Ready schedules: their rules, and by name on a pipeline."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from ecad_automl import apply_schedule
from ecad_automl.errors import OptionError, ScheduleError
from ecad_automl.gallery import builtin_plan, is_builtin, plans
from ecad_automl.schedules.whole_steps import whole_steps_of

Cli = Callable[..., tuple[int, str, str]]


def test_every_plan_saves_at_its_usual_steps_and_ends_with_what_its_rule_says() -> None:
    assert {plan.name.partition("/")[0] for plan in plans()} == {
        *("pixart-alpha", "pixart-sigma", "flux-dev", "sd3.5-large", "sd3.5-medium", "qwen-image", "wan2.1")
    }
    for plan in plans():
        schedule = plan.outline()
        mask = whole_steps_of(schedule)
        assert mask is not None
        assert mask.tolist() == plan.mask.tolist()
        assert 1.3 < plan.mac_speedup < 4.5
        if plan.whole:
            assert plan.mask[[0, 1, -1]].all()
            assert np.diff(np.flatnonzero(plan.mask)).max() <= plan.period
        else:
            assert np.flatnonzero(plan.mask).tolist() == list(range(0, plan.steps, plan.period))
        assert plan.rule


def test_a_number_of_steps_may_be_asked_for() -> None:
    assert builtin_plan("builtin:flux-dev/fora-3").steps == 28
    assert builtin_plan("builtin:flux-dev/fora-3@50").mask.shape == (50,)
    assert is_builtin("builtin:flux-dev/fora-3")
    assert not is_builtin(Path("builtin"))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("builtin:flux-dev/fora-9", "there are flux-dev/fora-2, flux-dev/fora-3"),
        ("builtin:sdxl/fora-2", "there are those of flux-dev, pixart-alpha"),
        ("builtin:flux-dev/fora-3@many", "asks for 'many' steps; write a whole number from 2"),
    ],
)
def test_a_name_that_is_none_says_what_there_is(name: str, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        builtin_plan(name)


def test_one_is_applied_by_name_and_refused_on_another_transformer(tiny_model: Any) -> None:
    call = {"height": 16, "width": 16, "output_type": "latent", "use_resolution_binning": False}
    with apply_schedule(tiny_model.pipe, "builtin:pixart-alpha/whole-2@6") as run:
        assert run.schedule.skip.tolist() == (~builtin_plan("builtin:pixart-alpha/whole-2@6").mask).tolist()
        assert torch.isfinite(tiny_model.pipe("a", **call, **run.arguments).images).all()
    with pytest.raises(ScheduleError, match="is for FluxTransformer2DModel .*but this pipeline has a PixArt"):
        apply_schedule(tiny_model.pipe, "builtin:flux-dev/fora-3")


def test_the_command_lists_them_and_says_that_none_was_measured(run_cli: Cli) -> None:
    code, told, err = run_cli("gallery")
    assert code == 0, err
    assert "By rule, not measured" in " ".join(told.split())
    assert all(f"builtin:{plan.name}" in told for plan in plans())
    code, told, err = run_cli("gallery", "wan2.1", "--json")
    assert code == 0, err
    found = json.loads(told)["schedules"]
    assert len(found) == 6
    assert not any(each["measured"] for each in found)
    code, _, err = run_cli("gallery", "sdxl")
    assert code == 2
    assert "There are no ready schedules for 'sdxl'; there are some for pixart-alpha" in err


def test_one_goes_to_an_engine_without_its_model(run_cli: Cli, tmp_path: Path) -> None:
    code, _, err = run_cli("convert", "builtin:flux-dev/whole-3", tmp_path, "--to", "cache-dit")
    assert code == 0, err
    config = yaml.safe_load((tmp_path / "flux-dev-whole-3.cache-dit.yaml").read_text())["cache_config"]
    assert config["steps_computation_mask"] == builtin_plan("builtin:flux-dev/whole-3").mask.astype(int).tolist()
    code, _, err = run_cli("convert", "builtin:flux-dev/whole-3", tmp_path)
    assert code == 2
    assert "made by rule on the pipeline" in err
