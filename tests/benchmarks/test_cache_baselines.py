from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.runtime.cache_settings import swept_settings
from benchmarks.runtime.caches import DIFFUSERS, Setting
from benchmarks.search.cache_baselines import CacheRun
from benchmarks.search.contestant import DoesNotRunError
from ecad_automl.judging.evaluation import Evaluator
from ecad_automl.models import model_layout
from tests.benchmarks.diffusers_caches import needs_caches


class Brightness:
    name = "brightness"

    def score(self, images: torch.Tensor, prompts: Sequence[str]) -> Any:
        return images.double().mean(dim=(1, 2, 3)).numpy()


@pytest.fixture
def evaluator(tiny_model: Any) -> Evaluator:
    return Evaluator(
        tiny_model.pipe, ["a red circle", "a cross"], [0, 1], Brightness(), tiny_model.settings, batch_size=3
    )


def full_macs(tiny_model: Any) -> float:
    return float(tiny_model.settings.steps * model_layout(tiny_model).step_macs)


def nothing(_pipe: Any) -> None:
    return


@needs_caches
@pytest.mark.parametrize("dynamic", [False, True])
def test_without_a_cache_images_are_those_of_the_evaluator_and_nothing_is_saved(
    tiny_model: Any, evaluator: Evaluator, dynamic: bool
) -> None:
    contestant = CacheRun(
        evaluator, Setting(DIFFUSERS, "none", "", nothing, dynamic), full_macs(tiny_model)
    ).contestant()
    assert torch.equal(contestant.make(), evaluator.reference_images)
    assert callable(contestant.saved)
    assert contestant.saved() == pytest.approx(1.0)
    assert contestant.method == "diffusers none"


@needs_caches
def test_macs_are_those_that_a_cache_leaves(tiny_model: Any, evaluator: Evaluator) -> None:
    settings = {each.name: each for each in swept_settings(tiny_model.settings.steps, None)}
    one = settings["diffusers FirstBlockCache, threshold 0.8"]
    before = tiny_model.pipe.transformer
    contestant = CacheRun(evaluator, one, full_macs(tiny_model)).contestant()
    images = contestant.make()
    assert callable(contestant.saved)
    assert contestant.saved() > 1.0
    assert images.shape == evaluator.reference_images.shape
    assert tiny_model.pipe.transformer is before
    assert torch.equal(evaluator.generate(None), evaluator.reference_images)


def test_an_error_of_a_cache_is_its_result(tiny_model: Any, evaluator: Evaluator) -> None:
    def fail(_pipe: Any) -> None:
        raise KeyError("no such block\nand more")

    contestant = CacheRun(evaluator, Setting(DIFFUSERS, "broken", "", fail), full_macs(tiny_model)).contestant()
    with pytest.raises(DoesNotRunError, match="KeyError"):
        contestant.make()
    assert np.isfinite(evaluator.reference_images.numpy()).all()
