from __future__ import annotations

import json
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.runtime import cache_rivals
from benchmarks.runtime.cache_report import at_least, measured
from benchmarks.runtime.cache_rivals import Contender, Problem, contenders_of, make, measure
from benchmarks.runtime.cache_settings import diffusers_settings
from benchmarks.runtime.caches import (
    DIFFUSERS,
    Setting,
    calibrate_magcache,
    diffusers_on,
    installed,
)
from benchmarks.search.our_search import OURS
from ecad_automl.models import model_layout
from ecad_automl.rewards import load_reward
from ecad_automl.schedules.heuristics import fora
from tests.benchmarks.diffusers_caches import needs_caches

ALWAYS = partial(diffusers_on, "apply_first_block_cache", "FirstBlockCacheConfig", {"threshold": 1e6})


@pytest.fixture
def problem(tiny_model: Any) -> Problem:
    prompts = ["a red circle", "a blue square", "a circle"]
    return Problem(tiny_model.pipe, tiny_model.settings, load_reward("fidelity"), prompts, batch=2)


@needs_caches
def test_a_cache_reuses_on_a_pipeline_that_knows_of_none_and_is_off_again_afterwards(problem: Problem) -> None:
    numbers = range(2)
    before = make(problem, numbers, None)
    full = cache_rivals.counted(problem, numbers, None)
    with installed(problem.pipe, Setting(DIFFUSERS, "FirstBlockCache", "always", ALWAYS())):
        first, second = make(problem, numbers, None), make(problem, numbers, None)
        assert cache_rivals.counted(problem, numbers, None) < 0.9 * full
    assert not torch.equal(first.latents, before.latents)
    assert torch.equal(first.latents, second.latents)  # nothing of a run is left in the next
    assert torch.equal(make(problem, numbers, None).latents, before.latents)


@needs_caches
@pytest.mark.filterwarnings("ignore:torch.meshgrid")  # FasterCache calls it
def test_every_setting_of_diffusers_caches_runs(problem: Problem, capsys: pytest.CaptureFixture[str]) -> None:
    steps = problem.settings.steps
    ratios = calibrate_magcache(problem.pipe, lambda: make(problem, range(1), None), steps)
    assert len(ratios) == steps
    assert ratios[0] == 1.0
    assert all(ratio > 0 for ratio in ratios)
    for setting in diffusers_settings(steps, ratios):
        with installed(problem.pipe, setting):
            assert make(problem, range(1), None).images.isfinite().all()
    assert capsys.readouterr().out == ""


@needs_caches
def test_an_interrupted_measurement_goes_on_with_the_next_batch(problem: Problem, tiny_model: Any) -> None:
    schedules = {("FORA", "every 2 steps"): fora(model_layout(tiny_model), problem.settings.steps, 2)}
    setting = Setting(DIFFUSERS, "FirstBlockCache", "always", ALWAYS(), dynamic=True, also_each=True)
    contenders = contenders_of(problem.pipe, schedules, [setting], fewer=[3])
    whole: dict[str, Any] = {}
    done = list(measure(problem, contenders, whole, lambda: None))
    assert sorted(done) == sorted(2 * [one.name for one in contenders])

    class Stopped(Exception):  # noqa: N818 - no error
        pass

    def stop() -> None:
        raise Stopped

    parts: dict[str, Any] = {}
    with pytest.raises(Stopped):
        list(measure(problem, contenders, parts, stop))
    parts = json.loads(json.dumps(parts))  # as it is kept
    assert sorted(measure(problem, contenders, parts, lambda: None)) == sorted(one.name for one in contenders)
    for one in contenders:
        for figure in ("reward", "psnr", "latents", "mac_speedups"):
            assert parts[one.name][figure] == whole[one.name][figure]
        assert len(whole[one.name]["reward"]) == len(problem.prompts)
    rows = {row.series: row for row in measured(whole)}
    layout = model_layout(tiny_model)
    under = fora(layout, problem.settings.steps, 2)
    full = problem.settings.steps * layout.step_macs
    assert rows["FORA"].mac_speedup == pytest.approx(full / under.run_macs, rel=1e-3)
    assert rows["fewer steps"].mac_speedup == pytest.approx(problem.settings.steps / 3, rel=1e-3)
    assert rows["FORA"].time_speedup is not None
    assert rows["diffusers FirstBlockCache, image by image"].time_speedup is None
    # Equal to the uncached image in everything: the reward here is how near an image is to it.
    plain: dict[str, Any] = {}
    list(measure(problem, [Contender("same", "")], plain, lambda: None))
    assert plain["same"]["reward"] == [0.0, 0.0, 0.0]
    assert plain["same"]["psnr"] == [100.0, 100.0, 100.0]
    assert plain["same"]["mac_speedups"] == [1.0]


def run(series: str, knob: str, reward: float, speedup: float) -> dict[str, Any]:
    rewards = (reward + np.linspace(-0.01, 0.01, 8)).tolist()
    return {
        "series": series,
        "knob": knob,
        "batches": 1,
        "reward": rewards,
        "psnr": [30.0] * 8,
        "latents": [0.1] * 8,
        "mac_speedups": [speedup],
        "time_speedups": [],
    }


def test_a_cache_is_taken_at_its_best_knob_and_a_search_at_the_schedule_that_suffices() -> None:
    runs = [
        run("cache", "low", -0.01, 1.2),
        run("cache", "middle", -0.05, 2.1),
        run("cache", "high", -0.02, 2.4),
        run(OURS, "search 0, 1.9x", -0.02, 2.0),
        run(OURS, "search 0, 2.5x", -0.01, 2.6),
        run(OURS, "search 1, 2.2x", -0.03, 2.3),
        run("weak", "any", -0.01, 1.3),
    ]
    found = at_least(measured({str(number): one for number, one in enumerate(runs)}), 2.0)
    assert {series: [row.knob for row in rows] for series, rows in found.items()} == {
        "cache": ["high"],
        OURS: ["search 0, 1.9x", "search 1, 2.2x"],
    }
