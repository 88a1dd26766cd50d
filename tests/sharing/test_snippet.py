from __future__ import annotations

import ast
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecad_automl.schedules.schedule import Schedule
from ecad_automl.schedules.schedule_file import ScheduleFile, ScheduleMetadata
from ecad_automl.sharing import apply_snippet
from tests.sharing.examples import METADATA, METADATAS, every, schedules


def calls(program: str) -> dict[str, ast.Call]:
    """The calls of a program by what is called."""
    return {ast.unparse(node.func): node for node in ast.walk(ast.parse(program)) if isinstance(node, ast.Call)}


def values(call: ast.Call) -> tuple[list[Any], dict[str | None, Any]]:
    given = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg != "dtype"}
    return [ast.literal_eval(arg) for arg in call.args], {name: ast.literal_eval(v) for name, v in given.items()}


def test_the_pipeline_is_loaded_and_called_as_in_the_study() -> None:
    program = apply_snippet(ScheduleFile(every(2), METADATA), "schedules/a.json", "a cat")
    found = calls(program)
    loading = found["DiffusionPipeline.from_pretrained"]
    assert values(loading) == ([METADATA.model], {"revision": METADATA.revision})
    assert "dtype=torch.bfloat16" in program
    assert values(found["pipe"]) == (
        ["a cat"],
        {"height": 256, "width": 512, "guidance_scale": 3.5, "num_inference_steps": 6},
    )
    assert '(pipe, "schedules/a.json")' in program
    assert max(map(len, program.splitlines())) < 80


def test_arguments_of_the_call_are_those_that_the_file_has() -> None:
    call: dict[str, Any] = {"num_inference_steps": 99, "true_cfg_scale": 4.0, "negative_prompt": "blur", "lambda": 1}
    metadata = METADATA.model_copy(update={"call": call})
    found = values(calls(apply_snippet(ScheduleFile(every(2), metadata), "a.json"))["pipe"])[1]
    # "lambda" is no name that an argument can have.
    assert found == {"num_inference_steps": 6, "true_cfg_scale": 4.0, "negative_prompt": "blur"}


def test_the_bundled_model_and_folders_are_loaded_by_their_names() -> None:
    bundled = apply_snippet(ScheduleFile(every(2), ScheduleMetadata(model="shapes", revision="folder-0")), "a.json")
    assert 'pipe = load_model("shapes").pipe' in bundled
    assert "diffusers" not in bundled
    folder = apply_snippet(ScheduleFile(every(2), ScheduleMetadata(model="./mine", revision="folder-0")), "a.json")
    assert values(calls(folder)["DiffusionPipeline.from_pretrained"]) == (["./mine"], {})


@settings(max_examples=60)
@given(schedule=schedules(), metadata=METADATAS, source=st.text(), prompt=st.text())
def test_whatever_a_file_holds_stays_data(
    schedule: Schedule, metadata: ScheduleMetadata, source: str, prompt: str
) -> None:
    program = apply_snippet(ScheduleFile(schedule, metadata), source, prompt)
    found = calls(program)
    loading = {"load_model"} if metadata.model == "shapes" else {"DiffusionPipeline.from_pretrained", "pipe.to"}
    known = {*loading, "apply_schedule", "pipe", "image.save", "torch.cuda.is_available"}
    assert set(found) <= known
    arguments, named = values(found["pipe"])
    assert arguments == [prompt]
    assert named["num_inference_steps"] == schedule.steps
    assert ast.literal_eval(found["apply_schedule"].args[1]) == source
    assert program.isascii() or program.replace("\n", "").isprintable()


@pytest.mark.parametrize("dtype", ["float8", "__import__('os')", "float32\nimport os", None])
def test_a_dtype_that_is_none_is_left_out(dtype: str | None) -> None:
    metadata = METADATA.model_copy(update={"dtype": dtype})
    assert "dtype" not in apply_snippet(ScheduleFile(every(2), metadata), "a.json")
