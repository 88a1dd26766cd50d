"""What each engine takes for a mask of steps: the names of its files, flags and parameters.

Read in the engines' own code: cache-dit 1.5.3, SGLang 0.5.23, vLLM-Omni 0.30, diffusers 0.42, stable-diffusion.cpp of
August 2026 and ComfyUI 0.3.64.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from itertools import groupby

import numpy as np

from ecad_automl.errors import OptionError, ScheduleError
from ecad_automl.schedules.schedule import Bits, Schedule
from ecad_automl.schedules.whole_steps import whole_steps_of

#: Of what the ComfyUI node reads.
COMFYUI_SCHEMA = "ecad-automl/comfyui/1"

_NODE = "ecad_schedule_node.py"
#: In the ratios of MagCache: far beyond its threshold, so the step is computed; 1 leaves its error at 0.
_COMPUTE, _REUSE = 10.0, 1.0


@dataclass(frozen=True)
class EngineExport:
    """A schedule as an engine takes it.

    Args:
        files: texts by the names of their files.
        how: what to do with them, in lines for people.
        tested: what of this was run in the tests of this project, in one sentence.
        notes: what the engine does otherwise than the schedule says, a sentence each.
    """

    files: Mapping[str, str]
    how: str
    tested: str
    notes: tuple[str, ...] = ()


def export_for(engine: str, schedule: Schedule, name: str) -> EngineExport:
    """A schedule of whole steps for an engine.

    Args:
        engine: one of :data:`ENGINES`.
        schedule: see :func:`~ecad_automl.schedules.whole_steps.whole_steps_of`.
        name: the beginning of the files' names.

    Raises:
        OptionError: there is no such engine.
        ScheduleError: the schedule is not of whole steps, or computes all of them.
    """
    if engine not in ENGINES:
        raise OptionError(f"There is no export to {engine!r}; choose one of {', '.join(ENGINES)}.")
    mask = whole_steps_of(schedule)
    if mask is None:
        raise ScheduleError(
            f"{name} chooses within its steps, and {engine} takes whole steps alone; search with --deploy whole-steps, "
            "or project it on the nearest whole steps (--project)."
        )
    if mask.all():
        raise ScheduleError(
            f"{name} computes every step, so there is nothing to tell {engine}; choose a schedule that saves."
        )
    return _comfyui(schedule, mask, name) if engine == "comfyui" else _WRITERS[engine](mask, name)


def reuse_note(schedule: Schedule, engine: str) -> str | None:
    """What an engine does with the steps that a schedule forecasts; None where it forecasts none, or they are told."""
    forecast = int(schedule.forecast[:, -1].sum())
    if not forecast or engine in ("comfyui", "steps"):
        return None
    return (
        f"{forecast} of its skipped steps are forecast here, by weights that {engine} does not have: it goes on with "
        "the last computed ones. What that costs was not measured; search with --deploy whole-steps for schedules that "
        "were judged as engines run them."
    )


def _bits(mask: Bits) -> list[int]:
    return [int(computed) for computed in mask]


def _text(values: object) -> str:
    return json.dumps(values, indent=2) + "\n"


def _magcache(mask: Bits) -> list[float]:
    return [_COMPUTE if computed else _REUSE for computed in mask]


def _cache_dit(mask: Bits, name: str) -> EngineExport:
    file = f"{name}.cache-dit.yaml"
    text = (
        f"# {int(mask.sum())} of {len(mask)} steps are computed. cache-dit ignores keys that it does not know.\n"
        "cache_config:\n"
        f"  num_inference_steps: {len(mask)}\n"
        f"  steps_computation_mask: {_bits(mask)}\n"
        "  steps_computation_policy: static\n"
        "  max_warmup_steps: 1\n"
        "  Fn_compute_blocks: 1\n"
        "  Bn_compute_blocks: 0\n"
    )
    how = f'cache_dit.enable_cache(pipe, **cache_dit.load_configs("{file}"))'
    return EngineExport({file: text}, how, "Run with cache-dit 1.5.3: it computes these very steps.")


def _sglang(mask: Bits, name: str) -> EngineExport:
    file = f"{name}.sglang.json"
    runs = [(bool(computed), len(list(run))) for computed, run in groupby(mask)]
    wanted = {
        "num_inference_steps": len(mask),
        "enable_cache_dit": True,
        "cache_dit_params": {
            "Fn_compute_blocks": 1,
            "Bn_compute_blocks": 0,
            "max_warmup_steps": 1,
            "scm_compute_bins": [length for computed, length in runs if computed],
            "scm_cache_bins": [length for computed, length in runs if not computed],
            "scm_policy": "static",
        },
    }
    how = "Send these keys with each request to SGLang's image or video API, or as arguments of its generator."
    tested = (
        "Not run in SGLang as a whole, which needs a GPU: with its own code for this, a small FLUX of diffusers "
        "computes these very steps."
    )
    return EngineExport({file: _text(wanted)}, how, tested)


def _vllm_omni(mask: Bits, name: str) -> EngineExport:
    file = f"{name}.vllm-omni.json"
    wanted = {
        "cache_backend": "mag_cache",
        "cache_config": {
            "mag_threshold": 0.5,
            "mag_max_skip_steps": len(mask),
            # It must be above 0; this is no step at all.
            "mag_retention_ratio": 1e-6,
            "num_inference_steps": len(mask),
            "mag_ratios": _magcache(mask),
        },
    }
    how = f'Omni(model=..., **json.load(open("{file}")))'
    tested = (
        "Not run in vLLM-Omni as a whole, which needs a GPU: with its own hooks, a small FLUX of diffusers computes "
        "these very steps."
    )
    note = "vLLM-Omni 0.30 knows FLUX.1 and FLUX.2 for mag_cache; other transformers it may refuse."
    return EngineExport({file: _text(wanted)}, how, tested, (note,))


def _diffusers(mask: Bits, name: str) -> EngineExport:
    file = f"{name}.diffusers.py"
    ratios = ", ".join(f"{ratio:g}" for ratio in _magcache(mask))
    text = (
        f'"""{int(mask.sum())} of {len(mask)} steps are computed: those whose ratio is beyond the threshold."""\n\n'
        "from diffusers import MagCacheConfig\n"
        "from diffusers.hooks import apply_mag_cache\n\n\n"
        "def apply(pipe):\n"
        "    config = MagCacheConfig(\n"
        "        threshold=0.5,\n"
        f"        max_skip_steps={len(mask)},\n"
        "        retention_ratio=0.0,\n"
        f"        num_inference_steps={len(mask)},\n"
        f"        mag_ratios=[{ratios}],\n"
        "    )\n"
        '    if hasattr(pipe.transformer, "enable_cache"):\n'
        "        pipe.transformer.enable_cache(config)\n"
        "    else:\n"
        "        apply_mag_cache(pipe.transformer, config)\n"
    )
    how = f"Copy apply(pipe) from {file}, and call it once before the pipeline; every call has {len(mask)} steps then."
    return EngineExport({file: text}, how, "Run with diffusers 0.42: it computes these very steps.")


def _sd_cpp(mask: Bits, name: str) -> EngineExport:
    file, steps = f"{name}.sd-cpp.txt", len(mask)
    flags = (
        f'--steps {steps} --cache-mode dbcache --cache-option "threshold=1000000,warmup=0" '
        f'--scm-mask "{",".join(map(str, _bits(mask)))}" --scm-policy static'
    )
    # It caches from 15 % to 95 % of the steps, in single precision, whatever the mask says.
    active = slice(int(np.float32(0.15) * np.float32(steps)), int(np.float32(0.95) * np.float32(steps)))
    inside = np.zeros(steps, dtype=np.bool_)
    inside[active] = True
    forced = int((~mask & ~inside).sum())
    note = f"It computes the first 15 % and last 5 % of the steps whatever the mask says: {forced} more than here."
    tested = "Not run: the flags are those in its source, where threshold and warm-up would keep it from the mask."
    return EngineExport({file: flags + "\n"}, "Add these flags to sd-cli.", tested, (note,) if forced else ())


def _comfyui(schedule: Schedule, mask: Bits, name: str) -> EngineExport:
    file = f"{name}.comfyui.json"
    used = schedule.coefficients[:, -1].astype(float).round(6).tolist()
    told = schedule.forecast[:, -1]
    actions = [
        1 if computed else (used[step] if told[step] else [1.0, 0.0]) for step, computed in enumerate(mask.tolist())
    ]
    document = {"schema": COMFYUI_SCHEMA, "name": name, "steps": len(mask), "actions": actions}
    node = (files("ecad_automl.engines") / "assets" / _NODE).read_text()
    how = (
        f"Put {_NODE} into ComfyUI/custom_nodes and {file} into ComfyUI/input; the node 'ECAD schedule' stands between "
        "the model and the sampler."
    )
    tested = "Run in the core of ComfyUI 0.3.64 with a small FLUX and PixArt: it computes these very steps."
    rest = bool(schedule.effective[~mask].any())
    note = "It skips whole transformer calls, first block included, and goes on with their last output."
    return EngineExport({file: _text(document), _NODE: node}, how, tested, (note,) if rest else ())


def _steps(mask: Bits, name: str) -> EngineExport:
    file = f"{name}.steps.txt"
    text = " ".join(map(str, np.flatnonzero(mask))) + "\n"
    how = f"The steps to compute, counted from 0, of a run of {len(mask)}."
    return EngineExport({file: text}, how, "There is nothing to run.")


#: Of engines that take no more than the mask.
_WRITERS: dict[str, Callable[[Bits, str], EngineExport]] = {
    "cache-dit": _cache_dit,
    "sglang": _sglang,
    "vllm-omni": _vllm_omni,
    "sd.cpp": _sd_cpp,
    "diffusers": _diffusers,
    "steps": _steps,
}

#: The engines that there is an export to.
ENGINES: tuple[str, ...] = ("cache-dit", "sglang", "vllm-omni", "sd.cpp", "diffusers", "comfyui", "steps")
