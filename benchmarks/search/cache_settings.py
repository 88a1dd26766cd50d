"""Settings of the caches of diffusers and cache-dit among which each may choose on a test bed."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import torch

from benchmarks.runtime.caches import (
    CACHE_DIT,
    CALIBRATORS,
    COMPONENTS,
    DIFFUSERS,
    POLICIES,
    Setting,
    cache_dit_on,
    diffusers_on,
    has_cache_dit,
    timestep_of,
)

__all__ = ["cache_settings"]

_THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.8)
#: Of cache-dit: steps that are computed first, and thresholds.
_OF_DBCACHE = ((4, 0.05), (4, 0.1), (4, 0.2), (2, 0.3), (2, 0.5), (2, 1.0))
_INTERVALS = (2, 3, 4, 5)
_EVERYWHERE = (-1, 10**6)


def cache_settings(steps: int, mag_ratios: list[float] | None) -> list[Setting]:
    """All of them.

    Args:
        steps: denoising steps of a run.
        mag_ratios: what MagCache is calibrated with, where that could be had.
    """
    found = [*_taylorseer(), *_first_block(), *_broadcast(), *_faster(), *_mag(steps, mag_ratios)]
    return [*found, *_cache_dit(steps)] if has_cache_dit() else found


def _setting(cache: str, knob: str, apply: str, config: str, *, dynamic: bool = False, **options: Any) -> Setting:
    return Setting(DIFFUSERS, cache, knob, diffusers_on(apply, config, options), dynamic)


def _taylorseer() -> Iterator[Setting]:
    """By component and of the whole transformer's output; the first three steps are computed, as published.

    Published for FLUX (arXiv 2503.06923): intervals of 3 to 6 and orders of 1 and 2, at 50 steps.
    """
    for interval in _INTERVALS:
        for order in (1, 2):
            yield _setting(
                "TaylorSeer",
                f"order {order}, interval {interval}",
                "apply_taylorseer_cache",
                "TaylorSeerCacheConfig",
                cache_interval=interval,
                max_order=order,
                cache_identifiers=COMPONENTS,
                taylor_factors_dtype=torch.float32,
            )
        yield _setting(
            "TaylorSeer",
            f"lite, interval {interval}",
            "apply_taylorseer_cache",
            "TaylorSeerCacheConfig",
            cache_interval=interval,
            use_lite_mode=True,
            taylor_factors_dtype=torch.float32,
        )


def _first_block() -> Iterator[Setting]:
    for threshold in _THRESHOLDS:
        yield _setting(
            "FirstBlockCache",
            f"threshold {threshold}",
            "apply_first_block_cache",
            "FirstBlockCacheConfig",
            dynamic=True,
            threshold=threshold,
        )


def _broadcast() -> Iterator[Setting]:
    """Pyramid attention broadcast: what it leaves out is attention alone."""
    for own, cross in ((2, 3), (5, 10)):
        yield _setting(
            "PAB",
            f"ranges {own} and {cross}",
            "apply_pyramid_attention_broadcast",
            "PyramidAttentionBroadcastConfig",
            spatial_attention_block_skip_range=own,
            cross_attention_block_skip_range=cross,
            spatial_attention_timestep_skip_range=_EVERYWHERE,
            cross_attention_timestep_skip_range=_EVERYWHERE,
            current_timestep_callback=timestep_of,
        )


def _faster() -> Iterator[Setting]:
    for attention, branch in ((2, 2), (2, 5)):
        yield _setting(
            "FasterCache",
            f"attention {attention}, branch {branch}",
            "apply_faster_cache",
            "FasterCacheConfig",
            spatial_attention_block_skip_range=attention,
            unconditional_batch_skip_range=branch,
            current_timestep_callback=timestep_of,
            attention_weight_callback=lambda _pipe: lambda _module: 0.5,
            tensor_format="BCHW",
            is_guidance_distilled=_is_distilled,
        )


def _is_distilled(pipe: Any) -> bool:
    return bool(pipe.transformer.config.get("guidance_embeds", False))


def _mag(steps: int, ratios: list[float] | None) -> Iterator[Setting]:
    for threshold, most in ((0.06, 3), (0.12, 3), (0.24, 3), (0.5, 4), (1.0, 7)) if ratios else ():
        yield _setting(
            "MagCache",
            f"threshold {threshold}, at most {most} steps",
            "apply_mag_cache",
            "MagCacheConfig",
            threshold=threshold,
            max_skip_steps=most,
            num_inference_steps=steps,
            mag_ratios=ratios,
        )


def _cache_dit(steps: int) -> Iterator[Setting]:
    """By thresholds after some steps that are computed, and by the masks of steps that it brings."""
    library = importlib.import_module("cache_dit")
    for calibrator in ("", *CALIBRATORS):
        cache = f"DBCache + {calibrator}" if calibrator else "DBCache"
        for warm, threshold in _OF_DBCACHE:
            put_on = cache_dit_on(calibrator, max_warmup_steps=warm, residual_diff_threshold=threshold)
            yield Setting(CACHE_DIT, cache, f"warm-up {warm}, threshold {threshold}", put_on, dynamic=True)
        for policy in POLICIES:
            put_on = cache_dit_on(
                calibrator,
                max_warmup_steps=steps,
                steps_computation_mask=library.steps_mask(mask_policy=policy, total_steps=steps),
                steps_computation_policy="static",
            )
            yield Setting(CACHE_DIT, cache, f"steps {policy}", put_on)
