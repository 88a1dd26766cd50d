"""ComfyUI node that runs a model under a schedule of whole steps, as ecad-automl exports them for ComfyUI.

One file, to be put into ComfyUI/custom_nodes; it needs torch alone. The schedule is a JSON file in ComfyUI/input: for
each step 1, where the model is run, or two numbers, by which the last output and the one before it are added up where
it is not. Each condition keeps its own outputs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

SCHEMA = "ecad-automl/comfyui/1"
KEY = "ecad_schedule"


def read_schedule(path: str | Path) -> list[tuple[float, float] | None]:
    """The actions of a schedule file: for each step None, where the model is run, or two numbers.

    Raises:
        ValueError: it is no such file.
    """
    data = json.loads(Path(path).read_text())
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise ValueError(f"{path} is no schedule for ComfyUI; write one with: ecad-automl export --to comfyui")
    actions = [None if action == 1 else (float(action[0]), float(action[1])) for action in data["actions"]]
    if len(actions) != data["steps"] or not actions or actions[0] is not None:
        raise ValueError(f"{path} is damaged: it needs an action for each step, and the first one must be 1")
    return actions


class Run:
    """One run of a sampler: the last two outputs of each condition.

    Args:
        actions: see :func:`read_schedule`.
    """

    def __init__(self, actions: list[tuple[float, float] | None]) -> None:
        self.actions = actions
        self.outputs: dict[Any, tuple[Any, ...]] = {}
        self.computed = 0
        self.reused = 0

    def step(self, sigmas: Any, options: dict[str, Any]) -> int | None:
        """The number of the step that is at these sigmas, None where it is between two steps or not told."""
        grid = options.get("sample_sigmas")
        if grid is None or sigmas is None:
            return None
        if len(grid) - 1 != len(self.actions):
            raise ValueError(
                f"The schedule has {len(self.actions)} steps, but the sampler runs {len(grid) - 1}; set the sampler to "
                f"{len(self.actions)} steps, or export a schedule of {len(grid) - 1}."
            )
        here = float(sigmas[0])
        near = [step for step, sigma in enumerate(grid[:-1].tolist()) if abs(sigma - here) <= 1e-4 * abs(here)]
        return near[0] if near else None

    def call(self, executor: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """Run the model, or add up what is kept of it."""
        options = _options(args, kwargs)
        conditions = options.get("uuids") or [None]
        step = self.step(options.get("sigmas"), options)
        action = None if step is None else self.actions[step]
        kept = [self.outputs.get(condition, ()) for condition in conditions]
        share = args[0].shape[0] // len(conditions)
        fit = all(each and each[0].shape[0] == share for each in kept)
        # What the model gives here is the image without noise; the noise or velocity in it is what changes slowly.
        sigma = args[1].reshape(-1, *[1] * (args[0].ndim - 1))
        if action is None or not fit:
            denoised = executor(*args, **kwargs)
            # Between two steps, as second-order samplers go, nothing is kept: forecasts are of steps.
            if step is not None:
                output = (args[0] - denoised) / sigma
                for condition, part in zip(conditions, output.chunk(len(conditions)), strict=True):
                    self.outputs[condition] = (part, *self.outputs.get(condition, ())[:1])
            self.computed += 1
            return denoised
        import torch

        self.reused += 1
        last, before = action
        parts = [
            last * each[0] + before * each[1] if len(each) > 1 and before else (last + before) * each[0]
            for each in kept
        ]
        return args[0] - sigma * torch.cat([part.to(args[0]) for part in parts])


def _options(args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The transformer options of a call, which models take at different places."""
    for value in (kwargs.get("transformer_options"), *reversed(args)):
        if isinstance(value, dict) and ("uuids" in value or "sigmas" in value):
            return value
    return {}


def _input_folder() -> Path:
    return Path(import_module("folder_paths").get_input_directory())


def _around_run(executor: Any, *args: Any, **kwargs: Any) -> Any:
    """Each run of a sampler begins with nothing kept, and leaves nothing behind."""
    guider = executor.class_obj
    before = guider.model_options
    options = {**before, "transformer_options": dict(before["transformer_options"])}
    run = options["transformer_options"][KEY] = Run(before["transformer_options"][KEY].actions)
    guider.model_options = options
    try:
        return executor(*args, **kwargs)
    finally:
        guider.model_options = before
        print(f"ECAD schedule: {run.computed} model calls made, {run.reused} left out")


def _around_model(executor: Any, *args: Any, **kwargs: Any) -> Any:
    return _options(args, kwargs)[KEY].call(executor, args, kwargs)


class EcadSchedule:
    """The node."""

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        """What it takes."""
        names = sorted(path.name for path in _input_folder().glob("*.json"))
        return {"required": {"model": ("MODEL",), "schedule": (names or ["none"],)}}

    RETURN_TYPES = ("MODEL",)
    FUNCTION = "apply"
    CATEGORY = "advanced/model"
    DESCRIPTION = (
        "Runs the model in the steps that a schedule of ecad-automl says, and reuses its outputs in the others."
    )

    def apply(self, model: Any, schedule: str) -> tuple[Any]:
        """A model under the schedule of a file, in ComfyUI's input folder or anywhere."""
        path = Path(schedule)
        if not path.is_file():
            path = _input_folder() / schedule
        patched = model.clone()
        options = patched.model_options.setdefault("transformer_options", {})
        options[KEY] = Run(read_schedule(path))
        patched.add_wrapper_with_key("outer_sample", KEY, _around_run)
        # Not around "diffusion_model": the classes of SD3 and PixArt among others never ask for that wrapper.
        patched.add_wrapper_with_key("apply_model", KEY, _around_model)
        return (patched,)


NODE_CLASS_MAPPINGS = {"EcadSchedule": EcadSchedule}
NODE_DISPLAY_NAME_MAPPINGS = {"EcadSchedule": "ECAD schedule"}
