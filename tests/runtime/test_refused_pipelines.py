"""Pipelines that would give wrong images under a schedule are refused by name."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from ecad_automl.errors import UnsupportedModelError
from ecad_automl.runtime import apply_schedule, layout_of_call
from tests.runtime.cases import CASES

if TYPE_CHECKING:
    from tests.runtime.conftest import Case


def test_an_unsupported_pipeline_is_refused(pixart: Case) -> None:
    schedule = pixart.random_schedule(0)
    with pytest.raises(UnsupportedModelError, match="PixArtTransformer2DModel has no transformer and scheduler"):
        apply_schedule(pixart.pipe.transformer, schedule)
    pixart.pipe.transformer = torch.nn.Linear(1, 1)
    with pytest.raises(UnsupportedModelError, match="Linear cannot be run under a schedule"):
        apply_schedule(pixart.pipe, schedule)


def test_a_unet_and_a_pipeline_of_several_runs_in_one_call_are_refused_with_their_reason(pixart: Case) -> None:
    schedule = pixart.random_schedule(0)
    sdxl: Any = type("StableDiffusionXLPipeline", (), {"unet": torch.nn.Linear(1, 1), "scheduler": object()})()
    with pytest.raises(UnsupportedModelError, match="StableDiffusionXLPipeline has a UNet, not supported"):
        apply_schedule(sdxl, schedule)
    pixart.pipe.transformer = type("AnyFlowFARTransformer3DModel", (torch.nn.Linear,), {})(1, 1)
    with pytest.raises(UnsupportedModelError, match="denoises several chunks of a video"):
        apply_schedule(pixart.pipe, schedule)


class Named:
    """A pipeline of which only the parts count that refusals look at."""

    def __init__(self, transformer: torch.nn.Module, **parts: Any) -> None:
        self.transformer, self.scheduler = transformer, object()
        for name, part in parts.items():
            setattr(self, name, part)


@pytest.mark.parametrize(
    ("name", "like", "parts", "reason"),
    [
        ("LTXI2VLongMultiPromptPipeline", "ltx-guided", {}, "several windows"),
        ("CogVideoXVideoToVideoPipeline", "cogvideox-guided", {}, "begin at a step"),
    ],
)
def test_pipelines_that_cannot_be_cached_correctly_are_refused_by_name(
    name: str, like: str, parts: dict[str, Any], reason: str
) -> None:
    made = CASES[like]()
    pipe = type(name, (Named,), {})(made.pipe.transformer, **parts)
    with pytest.raises(UnsupportedModelError, match=f"{name} cannot be run under a schedule: .*{reason}"):
        apply_schedule(pipe, made.random_schedule(0))
    with pytest.raises(UnsupportedModelError, match=f"{name} cannot be run under a schedule: .*{reason}"):
        layout_of_call(pipe)


def test_a_control_net_that_shares_blocks_is_refused() -> None:
    case = CASES["zimage-guided"]()
    case.pipe.controlnet = SimpleNamespace(noise_refiner=case.pipe.transformer.noise_refiner)
    with pytest.raises(UnsupportedModelError, match="its ControlNet calls blocks of the transformer on its own"):
        apply_schedule(case.pipe, case.random_schedule(0))


def test_reference_tokens_that_are_left_out_later_are_refused() -> None:
    case = CASES["flux2"]()
    with (
        apply_schedule(case.pipe, case.random_schedule(0)),
        pytest.raises(UnsupportedModelError, match="'kv_cache_mode' cannot be under a schedule"),
    ):
        case.pipe.transformer(kv_cache_mode="extract")
