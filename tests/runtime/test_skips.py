"""Skipped in place of reused: the MACs are those of a run, and images are near those of reuse."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ecad_automl.bundled import BUNDLED
from ecad_automl.judging.evaluation import Evaluator
from ecad_automl.models import load_model
from ecad_automl.models.loading import model_layout
from ecad_automl.rewards import load_reward
from ecad_automl.runtime import apply_schedule
from ecad_automl.schedules.heuristics import fora
from ecad_automl.schedules.skips import with_skips
from tests.runtime.test_layouts import macs_of_a_run

if TYPE_CHECKING:
    from tests.runtime.conftest import Case


def test_macs_are_those_of_a_run(case: Case) -> None:
    schedule = fora(case.layout, 4, 2)
    skipped = with_skips(schedule)
    with apply_schedule(case.pipe, skipped, keep_text=False):
        assert macs_of_a_run(case, steps=4) == skipped.macs == schedule.macs - 2 * case.layout.constant_macs


def test_images_of_a_trained_model_are_nearer_to_those_of_reuse_than_these_to_uncached() -> None:
    model = load_model("shapes", device="cpu").with_settings(steps=10)
    prompts = BUNDLED["shapes"].prompts("held-out", 2)
    evaluator = Evaluator(model.pipe, prompts, [0], load_reward("fidelity"), model.settings)
    schedule = fora(model_layout(model), 10, 2)
    uncached, reused, skipped = map(evaluator.generate, (None, schedule, with_skips(schedule)))

    def error(one: torch.Tensor, other: torch.Tensor) -> float:
        return float((one - other).square().mean())

    assert 0 < error(skipped, reused) < error(reused, uncached)
