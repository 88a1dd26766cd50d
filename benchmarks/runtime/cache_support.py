"""Which caches of diffusers and cache-dit run on which transformers, tried on small pipelines with random weights.

A threshold is set so high that a cache reuses wherever it can: what is asked is whether it works at all. It does where
a run does clearly fewer MACs than uncached, and a second run gives the same latents as the first, so that nothing of
the first is left in the second.

    pip install cache-dit
    python -m benchmarks.runtime.cache_support
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import diffusers
import torch
import typer
from rich.console import Console
from rich.progress import track

from benchmarks.machine import RESULTS, machine
from benchmarks.runtime.caches import (
    CACHE_DIT,
    DIFFUSERS,
    Setting,
    cache_dit_on,
    diffusers_on,
    has_cache_dit,
    helped,
    installed,
    names_branches,
    timestep_of,
    transformer_macs,
)
from tests.runtime.cases import CASES, Case

#: One case of each transformer, with guidance where it has any.
SUBJECTS = (
    "pixart-guided",
    "flux",
    "sd3-guided",
    "flux2",
    "qwen-image-guided",
    "cogview4-guided",
    "aura-flow",
    "chroma-guided",
    "zimage-guided",
    "lumina2-guided",
    "sana-guided",
    "hunyuandit-guided",
    "dit-guided",
    "wan-guided",
    "ltx-guided",
    "hunyuanvideo",
    "cogvideox-guided",
    "mochi-guided",
)
STEPS = 10
#: A run that saves less than this saves nothing: rounding of what is counted once.
_SAVES = 1.02
_ALWAYS = 1e6

YES, BY_HAND, NO_EFFECT, STALE = "yes", "by hand", "no effect", "keeps state"


def caches(pipe: Any) -> dict[str, tuple[str, str, dict[str, Any]]]:
    """By name, the function and the config of diffusers, and how it is set so as to reuse whatever it can."""
    distilled = bool(pipe.transformer.config.get("guidance_embeds", False))
    window = {f"{kind}_attention_timestep_skip_range": (-1, 10**6) for kind in ("spatial", "cross")}
    lasting = {f"{kind}_attention_block_skip_range": 3 for kind in ("spatial", "cross")}
    ratios = {"mag_ratios": [1.0] * STEPS, "num_inference_steps": STEPS, "threshold": _ALWAYS}
    seer = {"cache_interval": 3, "taylor_factors_dtype": torch.float32}
    faster = {
        "current_timestep_callback": timestep_of,
        "attention_weight_callback": lambda _pipe: lambda _module: 0.5,
        "is_guidance_distilled": distilled,
        "tensor_format": _latent_format(pipe),
    }
    return {
        "FirstBlockCache": ("apply_first_block_cache", "FirstBlockCacheConfig", {"threshold": _ALWAYS}),
        "PAB": (
            "apply_pyramid_attention_broadcast",
            "PyramidAttentionBroadcastConfig",
            {**window, **lasting, "current_timestep_callback": timestep_of},
        ),
        "FasterCache": ("apply_faster_cache", "FasterCacheConfig", faster),
        "TaylorSeer": ("apply_taylorseer_cache", "TaylorSeerCacheConfig", seer),
        "TaylorSeer lite": ("apply_taylorseer_cache", "TaylorSeerCacheConfig", {**seer, "use_lite_mode": True}),
        "MagCache": ("apply_mag_cache", "MagCacheConfig", ratios),
        "SeaCache": ("apply_sea_cache", "SeaCacheConfig", {"threshold": _ALWAYS}),
        "TextKVCache": ("apply_text_kv_cache", "TextKVCacheConfig", {}),
    }


def _latent_format(pipe: Any) -> str:
    """Which axes the latents have, as FasterCache wants to be told."""
    if "3D" not in type(pipe.transformer).__name__:
        return "BCHW"
    return "BFCHW" if "CogVideo" in type(pipe).__name__ else "BCFHW"


def outcome(case: Case, put_on: Callable[[Any], None], full: int, *, by_hand: bool) -> str:
    """What comes of a cache: ``yes``, ``no effect``, ``keeps state``, or the error."""
    setting = Setting(DIFFUSERS, "tried", "", put_on)
    try:
        with installed(case.pipe, setting):
            results = []
            for _ in range(2):
                if by_hand:
                    helped(case.pipe)
                results.append(macs_and_latents(case))
    except Exception as error:  # noqa: BLE001 - whatever goes wrong is what is asked for
        place = traceback.extract_tb(error.__traceback__)[-1]
        said = str(error).splitlines()[0] if str(error) else ""
        return f"{type(error).__name__}: {said} ({Path(place.filename).name})"
    (macs, latents), (again, latents_again) = results
    if full / macs < _SAVES:
        return NO_EFFECT
    return YES if macs == again and torch.equal(latents, latents_again) else STALE


def macs_and_latents(case: Case) -> tuple[int, torch.Tensor]:
    """Of one run."""
    made: list[torch.Tensor] = []
    with torch.no_grad():
        macs = transformer_macs(case.pipe, lambda: made.append(case.generate(steps=STEPS)))
    return macs, made[0]


def tried(case: Case) -> dict[str, dict[str, str]]:
    """By cache, what came of it, and of it by hand where it does not work as documented."""
    pipe = case.pipe
    full, _ = macs_and_latents(case)
    found: dict[str, dict[str, str]] = {}
    for name, (apply, config, options) in caches(pipe).items():
        documented = outcome(case, diffusers_on("enable_cache", config, options), full, by_hand=False)
        found[name] = {"documented": documented}
        # One name for both guidance branches is right only where one forward computes both.
        if documented != YES and not names_branches(pipe) and case.calls_per_step == 1:
            found[name]["by hand"] = outcome(case, diffusers_on(apply, config, options), full, by_hand=True)
    if has_cache_dit():
        put_on = cache_dit_on(max_warmup_steps=2, residual_diff_threshold=_ALWAYS)
        found[f"{CACHE_DIT} DBCache"] = {"documented": outcome(case, put_on, full, by_hand=False)}
    return found


def compiled(case: Case, put_on: Callable[[Any], None]) -> str:
    """What comes of compiling the blocks of a transformer that is cached: whole graphs, or how often they break.

    Traced and not optimised: what is asked is whether there are graphs, not how fast they are.
    """
    from torch._dynamo.utils import counters

    torch._dynamo.reset()
    counters.clear()
    try:
        with installed(case.pipe, Setting(DIFFUSERS, "compiled", "", put_on)), torch.no_grad():
            case.pipe.transformer.compile_repeated_blocks(backend="eager")
            case.generate(steps=STEPS)
            graphs, breaks = counters["stats"]["unique_graphs"], sum(counters["graph_break"].values())
    except Exception as error:  # noqa: BLE001 - whatever goes wrong is what is asked for
        return f"fails: {type(error).__name__}"
    return f"{graphs} graphs, {breaks} breaks"


def compiled_all(case: Case) -> dict[str, str]:
    """By cache, on a pipeline that has ``enable_cache``; and of blocks that nothing caches."""
    ways = {"uncached": lambda _pipe: None}
    ways |= {
        name: diffusers_on("enable_cache", config, options)
        for name, (_, config, options) in caches(case.pipe).items()
        if name not in ("SeaCache", "TextKVCache")
    }
    if has_cache_dit():
        ways[f"{CACHE_DIT} DBCache"] = cache_dit_on(max_warmup_steps=2, residual_diff_threshold=_ALWAYS)
    return {name: compiled(case, put_on) for name, put_on in ways.items()}


def verdict(found: dict[str, str]) -> str:
    """One word for a cell of the table; ``no`` for an error."""
    if found["documented"] == YES:
        return YES
    if found.get("by hand") == YES:
        return BY_HAND
    words = [word for word in (found.get("by hand"), found["documented"]) if word in (NO_EFFECT, STALE)]
    return words[0] if words else "no"


def table(report: dict[str, dict[str, dict[str, str]]]) -> str:
    """In Markdown: transformers by caches."""
    names = list(dict.fromkeys(name for found in report.values() for name in found))
    lines = ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for transformer, found in report.items():
        cells = [verdict(found[name]) if name in found else "-" for name in names]
        lines.append(f"| {transformer} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def compiled_table(graphs: dict[str, str]) -> str:
    """In Markdown: caches and what came of compiling."""
    return "\n".join(
        ["| | blocks of FLUX, compiled |", "|---|---|", *(f"| {name} | {graphs[name]} |" for name in graphs)]
    )


def main(results: Path = RESULTS) -> None:
    """Try all, and write what came of it."""
    torch.set_num_threads(1)
    diffusers.utils.logging.set_verbosity_error()
    report: dict[str, dict[str, dict[str, str]]] = {}
    for name in track(SUBJECTS, description="transformers"):
        torch.manual_seed(0)
        case = CASES[name]()
        with redirect_stdout(StringIO()):  # caches talk
            report[type(case.pipe.transformer).__name__] = tried(case)
    with redirect_stdout(StringIO()):
        graphs = compiled_all(CASES["flux"]())
    about = {
        "machine": machine(),
        "steps": STEPS,
        "cache_dit": has_cache_dit(),
        "outcomes": report,
        "compiled_flux": graphs,
    }
    (results / "cache_support.json").write_text(json.dumps(about, indent=1) + "\n")
    text = "\n".join([table(report), "", compiled_table(graphs)])
    (results / "cache_support.md").write_text(text + "\n")
    Console().print(text, highlight=False)


if __name__ == "__main__":
    typer.run(main)
