from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import FluxPipeline
from transformers import AutoTokenizer

from benchmarks.system.diffusers_tests import compared, table
from benchmarks.system.hub_stand_ins import STAND_INS, make_stand_ins
from benchmarks.system.scheduled_pipelines import Watch, steps_of_call
from ecad_automl.errors import CacheStateError
from ecad_automl.runtime import apply_schedule, slots_of
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule
from tests.runtime.cases import CASES


def outcome(name: str, scheduled: int = 0, said: str = "", **refused: int) -> dict[str, Any]:
    return {"outcome": name, "said": said, "scheduled": scheduled, "refused": refused}


VERSIONS = {"diffusers": "2", "peft": "0.3"}
SKIPPED = "('test_flux.py', 7, 'Skipped: test is slow')"


def test_outcomes_are_compared_test_by_test_and_not_by_their_sums() -> None:
    plain = {"a": outcome("passed"), "b": outcome("failed", said="1 is not 2"), "c": outcome("skipped", said=SKIPPED)}
    under = {"a": outcome("failed", 2, "no"), "b": outcome("passed", 1), "c": outcome("skipped", said=SKIPPED, no=1)}
    found = compared(plain, under)
    assert found["without"] == found["with"] == {"passed": 1, "failed": 1, "error": 0, "skipped": 1}
    assert found["differ"] == ["a", "b"]
    assert (found["under a schedule"], found["of these passed"], found["calls"]) == (2, 1, 3)
    assert found["refused calls"] == {"no": 1}
    assert found["why others did not pass"] == {"failed: 1 is not 2": 1, "skipped: test is slow": 1}
    whole = {"source": "1", "text models": "of the hub", "sets": {"FLUX": {"2": {"versions": VERSIONS, **found}}}}
    assert table(whole).splitlines()[-1] == "| FLUX | 2 | 0.3 | 3 | 1 and 1 | 1 | 1 | 2 | 3 | 1 | 2 |"


def test_a_test_of_one_run_alone_and_one_that_says_something_else_are_told() -> None:
    found = compared({"a": outcome("failed", said="0.1")}, {"a": outcome("failed", said="0.2"), "b": outcome("passed")})
    assert (found["differ"], found["say something else"]) == (["b"], ["a", "b"])


def test_why_a_test_was_skipped_is_told_without_the_place_where() -> None:
    quoted = outcome("skipped", said="('/a/common.py', 7, \"Skipped: no `x` in 'y'\")")
    cut = outcome("skipped", said="('/a/common.py', 7, 'Skipped: it is too")
    found = compared({"a": quoted, "b": cut}, {})["why others did not pass"]
    assert found == {"skipped: no `x` in 'y'": 1, "skipped: it is too": 1}


def call(self: object, prompt: str, sigmas: list[float] | None = None, num_inference_steps: int = 28) -> None: ...


def test_steps_of_a_call_are_those_that_it_names() -> None:
    assert steps_of_call(call, None, ("x",), {}) == 28
    assert steps_of_call(call, None, ("x",), {"num_inference_steps": 3}) == 3
    assert steps_of_call(call, None, ("x", [1.0, 0.5]), {"num_inference_steps": 3}) == 2
    with pytest.raises(TypeError):
        steps_of_call(call, None, (), {})


@pytest.mark.parametrize("mode", ["all-compute", "reuse"])
def test_calls_of_the_tested_pipeline_run_under_a_schedule(mode: str, tmp_path: Path) -> None:
    class Tested(FluxPipeline):
        pass

    case = CASES["flux"]()
    expected = case.generate(steps=3)
    case.pipe.__class__ = Tested
    watch = Watch(mode, tmp_path / "outcomes.json")
    watch.pytest_collection_modifyitems([SimpleNamespace(cls=SimpleNamespace(pipeline_class=Tested))])  # type: ignore[list-item]
    assert torch.equal(case.generate(steps=3), expected) == (mode == "all-compute")
    case.generate(steps=2)
    assert watch.scheduled == 2
    transformer = case.pipe.transformer
    full = Schedule.all_compute(Layout(type(transformer).__name__, slots_of(transformer)), 3)
    if mode == "reuse":  # it stays from call to call
        with pytest.raises(CacheStateError):
            apply_schedule(case.pipe, full)
    else:
        apply_schedule(case.pipe, full).remove()


def test_the_stand_ins_are_found_as_those_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_stand_ins(tmp_path)
    for name in STAND_INS:
        tokenizer = AutoTokenizer.from_pretrained(name, cache_dir=tmp_path, local_files_only=True)
        assert tokenizer("a cab").input_ids, name
