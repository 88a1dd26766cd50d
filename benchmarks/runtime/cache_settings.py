"""Settings of the caches of diffusers and cache-dit: a few for tables, and sweeps among which each may choose."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch

from benchmarks.runtime.caches import (
    CACHE_DIT,
    CALIBRATORS,
    COMPONENTS,
    DIFFUSERS,
    Setting,
    cache_dit_on,
    diffusers_on,
    has_cache_dit,
    timestep_of,
)

__all__ = ["cache_dit_settings", "diffusers_settings", "equal_macs_settings", "swept_settings"]

#: Timesteps between which a cache may reuse, if it may everywhere.
_EVERYWHERE = (-1, 10**6)
#: The masks of steps that cache-dit brings, from gentle to harsh.
_POLICIES = ("slow", "medium", "fast", "ultra")
#: The threshold at which caches that decide by the images are also tried on single ones.
_ONE_BY_ONE = 0.2
#: Of MagCache: how far outputs may be off, and how many steps in a row are left out at most.
_OF_MAGCACHE = ((0.06, 3), (0.12, 3), (0.24, 3), (0.5, 4), (1.0, 7))
#: Of cache-dit, in a sweep: steps that are computed first, and thresholds.
_OF_DBCACHE = ((4, 0.05), (4, 0.1), (4, 0.2), (2, 0.3), (2, 0.5), (2, 1.0))


def diffusers_settings(steps: int, mag_ratios: Sequence[float] | None) -> list[Setting]:
    """The settings of diffusers' caches.

    Args:
        steps: denoising steps of a run.
        mag_ratios: what :func:`~benchmarks.runtime.caches.calibrate_magcache` found; MagCache is left out without.
    """
    found = [_first_block(threshold, each=threshold == _ONE_BY_ONE) for threshold in (0.1, 0.15, 0.2, 0.3, 0.5)]
    found.append(_broadcast(2, 3, ", timesteps 100 to 800", (100, 800)))
    found += [_broadcast(own, cross, ", all steps") for own, cross in ((2, 3), (3, 6), (5, 10))]
    found += _faster()
    found += [
        _taylorseer(f"TaylorSeer, order {order}", f"interval {interval}", interval, order)
        for order, interval in ((1, 2), (1, 3), (2, 2), (2, 3))
    ]
    found += [_taylorseer("TaylorSeer lite", f"interval {interval}", interval) for interval in (2, 3, 4)]
    return [*found, *_mag(steps, mag_ratios)]


def cache_dit_settings(steps: int, masks: Mapping[str, Sequence[int]] | None = None) -> list[Setting]:
    """The settings of cache-dit.

    Args:
        steps: denoising steps of a run.
        masks: further masks of the steps to compute, by name.
    """
    found = [
        _by_threshold(named, forecast, warm, threshold, each=threshold == _ONE_BY_ONE and not forecast)
        for forecast, named in (("", "DBCache"), ("TaylorSeer", "DBCache + TaylorSeer"))
        for warm, threshold in ((4, 0.1), (4, 0.15), (4, 0.2), (4, 0.3), (2, 0.5))
    ]
    presets = _presets(steps)
    for name, mask in {**presets, **(masks or {})}.items():
        kind = "own step mask" if name in presets else "searched step mask"
        found += [
            _by_mask(named, name, forecast, steps, mask)
            for forecast, named in (("", kind), ("TaylorSeer", f"{kind} + TaylorSeer"))
        ]
    return found


def swept_settings(steps: int, mag_ratios: Sequence[float] | None) -> list[Setting]:
    """Settings of all caches that are installed, among which each may choose on a test bed.

    Args:
        steps: denoising steps of a run.
        mag_ratios: what MagCache is calibrated with, where that could be had.
    """
    found = [*_taylorseer_sweep(), *map(_first_block, (0.05, 0.1, 0.2, 0.3, 0.5, 0.8))]
    found += [_broadcast(2, 3), _broadcast(5, 10), *_faster(), *_mag(steps, mag_ratios)]
    return [*found, *_cache_dit_sweep(steps)] if has_cache_dit() else found


def equal_macs_settings(say: Callable[[str], None]) -> dict[str, list[Setting]]:
    """Settings of three caches from gentle to harsh, to be compared with schedules of as many MACs.

    Args:
        say: told of a cache that is left out because it is not installed.
    """
    thresholds = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8)
    found = {
        "First Block Cache": list(map(_first_block, thresholds)),
        "TaylorSeer": [_taylorseer("TaylorSeer", f"order 1, interval {interval}", interval, 1) for interval in (2, 3)],
    }
    if has_cache_dit():
        found["DBCache"] = [_by_threshold("DBCache", "", 2, threshold) for threshold in thresholds]
    else:
        say("cache-dit is not installed, so its DBCache is left out.")
    return found


def _taylorseer_sweep() -> Iterator[Setting]:
    """By component and of the whole transformer's output; the first three steps are computed, as published.

    Published for FLUX (arXiv 2503.06923): intervals of 3 to 6 and orders of 1 and 2, at 50 steps.
    """
    for interval in (2, 3, 4, 5):
        for order in (1, 2):
            yield _taylorseer("TaylorSeer", f"order {order}, interval {interval}", interval, order)
        yield _taylorseer("TaylorSeer", f"lite, interval {interval}", interval)


def _cache_dit_sweep(steps: int) -> Iterator[Setting]:
    """By thresholds after some steps that are computed, and by the masks of steps that it brings."""
    for calibrator in ("", *CALIBRATORS):
        cache = f"DBCache + {calibrator}" if calibrator else "DBCache"
        for warm, threshold in _OF_DBCACHE:
            yield _by_threshold(cache, calibrator, warm, threshold)
        for policy, mask in _presets(steps).items():
            yield _by_mask(cache, f"steps {policy}", calibrator, steps, mask)


def _first_block(threshold: float, *, each: bool = False) -> Setting:
    put = diffusers_on("apply_first_block_cache", "FirstBlockCacheConfig", {"threshold": threshold})
    return Setting(DIFFUSERS, "FirstBlockCache", f"threshold {threshold}", put, True, each)


def _broadcast(own: int, cross: int, told: str = "", window: tuple[int, int] = _EVERYWHERE) -> Setting:
    """Pyramid attention broadcast: what it leaves out is attention alone."""
    options = {
        "spatial_attention_block_skip_range": own,
        "cross_attention_block_skip_range": cross,
        "spatial_attention_timestep_skip_range": window,
        "cross_attention_timestep_skip_range": window,
        "current_timestep_callback": timestep_of,
    }
    put = diffusers_on("apply_pyramid_attention_broadcast", "PyramidAttentionBroadcastConfig", options)
    return Setting(DIFFUSERS, "PAB", f"ranges {own} and {cross}{told}", put)


def _faster() -> Iterator[Setting]:
    for attention, branch in ((2, 2), (2, 5)):
        options = {
            "spatial_attention_block_skip_range": attention,
            "unconditional_batch_skip_range": branch,
            "current_timestep_callback": timestep_of,
            "attention_weight_callback": lambda _pipe: lambda _module: 0.5,
            "tensor_format": "BCHW",
            "is_guidance_distilled": _is_distilled,
        }
        put = diffusers_on("apply_faster_cache", "FasterCacheConfig", options)
        yield Setting(DIFFUSERS, "FasterCache", f"attention {attention}, branch {branch}", put)


def _is_distilled(pipe: Any) -> bool:
    return bool(pipe.transformer.config.get("guidance_embeds", False))


def _taylorseer(cache: str, knob: str, interval: int, order: int | None = None) -> Setting:
    """Of some order by component, or, lite, of the transformer's output."""
    options: dict[str, Any] = {"cache_interval": interval, "taylor_factors_dtype": torch.float32}
    if order is None:
        options["use_lite_mode"] = True
    else:
        options |= {"max_order": order, "cache_identifiers": COMPONENTS}
    return Setting(DIFFUSERS, cache, knob, diffusers_on("apply_taylorseer_cache", "TaylorSeerCacheConfig", options))


def _mag(steps: int, ratios: Sequence[float] | None) -> Iterator[Setting]:
    for threshold, most in _OF_MAGCACHE if ratios else ():
        options = {
            "threshold": threshold,
            "max_skip_steps": most,
            "num_inference_steps": steps,
            "mag_ratios": list(ratios or ()),
        }
        put = diffusers_on("apply_mag_cache", "MagCacheConfig", options)
        yield Setting(DIFFUSERS, "MagCache", f"threshold {threshold}, at most {most} steps", put)


def _by_threshold(cache: str, calibrator: str, warm: int, threshold: float, *, each: bool = False) -> Setting:
    put = cache_dit_on(calibrator, max_warmup_steps=warm, residual_diff_threshold=threshold)
    return Setting(CACHE_DIT, cache, f"warm-up {warm}, threshold {threshold}", put, True, each)


def _by_mask(cache: str, knob: str, calibrator: str, steps: int, mask: Sequence[int]) -> Setting:
    put = cache_dit_on(
        calibrator, max_warmup_steps=steps, steps_computation_mask=list(mask), steps_computation_policy="static"
    )
    return Setting(CACHE_DIT, cache, knob, put)


def _presets(steps: int) -> dict[str, Sequence[int]]:
    library = importlib.import_module("cache_dit")
    return {policy: library.steps_mask(mask_policy=policy, total_steps=steps) for policy in _POLICIES}
