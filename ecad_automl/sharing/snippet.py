"""A few lines of Python that apply a schedule: for people to copy."""

from __future__ import annotations

import keyword
from collections.abc import Sequence
from typing import Any

from ecad_automl.bundled import BUNDLED
from ecad_automl.schedules.schedule_file import ScheduleFile

#: A prompt for those who have none.
PROMPT = "a photo of a red ball on a wooden table"

_DTYPES = ("float32", "float16", "bfloat16")
_WIDTH = 79


def apply_snippet(file: ScheduleFile, source: str, prompt: str = PROMPT) -> str:
    """Python that loads the pipeline which a schedule was found for, and calls it once under the schedule.

    Whatever the schedule's metadata hold stays data: it becomes literals, and names that are no names are left out.

    Args:
        file: the schedule and what it was found for.
        source: what :func:`~ecad_automl.apply_schedule` is given: a path or a name of the hub.
        prompt: of the one image.

    Returns:
        A program; its last line ends with a line end.
    """
    loading = _loading(file)
    arguments = [
        literal(prompt),
        *(f"{name}={literal(value)}" for name, value in call_arguments(file).items()),
    ]
    call = _call("    image = pipe", arguments, indent="    ")
    apply = f"with apply_schedule(pipe, {literal(source)}):\n{call}.images[0]\n"
    return f'{loading}\n{apply}image.save("image.png")\n'


def call_arguments(file: ScheduleFile) -> dict[str, Any]:
    """What the pipeline's call is given beside the prompt: with what the schedule was measured with."""
    meta = file.metadata
    told: dict[str, Any] = {"height": meta.height, "width": meta.width, "guidance_scale": meta.guidance_scale}
    told = dict(meta.call) or {name: value for name, value in told.items() if value is not None}
    ours = {name: value for name, value in told.items() if name.isidentifier() and not keyword.iskeyword(name)}
    return {**ours, "num_inference_steps": file.schedule.steps}


def _loading(file: ScheduleFile) -> str:
    meta = file.metadata
    if meta.model in BUNDLED:
        return f'from ecad_automl import apply_schedule, load_model\n\npipe = load_model("{meta.model}").pipe\n'
    dtype = meta.dtype if meta.dtype in _DTYPES else None
    revision = meta.revision if is_commit(meta.revision) else None
    arguments = [
        literal(meta.model or f"a pipeline with a {file.schedule.layout.transformer}"),
        *([] if revision is None else [f"revision={literal(revision)}"]),
        *([] if dtype is None else [f"dtype=torch.{dtype}"]),
    ]
    return (
        "import torch\nfrom diffusers import DiffusionPipeline\n\nfrom ecad_automl import apply_schedule\n\n"
        + _call("pipe = DiffusionPipeline.from_pretrained", arguments)
        + '\npipe.to("cuda" if torch.cuda.is_available() else "cpu")\n'
    )


def is_commit(revision: str | None) -> bool:
    """Whether a model's revision is one of the hub; folders have a hash of their files in its place."""
    return revision is not None and not revision.startswith("folder-")


def _call(function: str, arguments: Sequence[str], indent: str = "") -> str:
    line = f"{function}({', '.join(arguments)})"
    if len(line) <= _WIDTH - len(".images[0]"):
        return line
    return f"{function}(\n" + "".join(f"{indent}    {argument},\n" for argument in arguments) + f"{indent})"


def literal(value: Any) -> str:
    """A Python literal of a JSON value, with double quotes where they need no escape."""
    text = repr(value)
    return f'"{text[1:-1]}"' if isinstance(value, str) and text[0] == "'" and '"' not in text else text
