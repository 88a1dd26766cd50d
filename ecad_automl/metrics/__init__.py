"""Metrics: how close images are to others, pair by pair (PSNR, SSIM, LPIPS) and as sets (FID)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ecad_automl.metrics.statistics import FeatureStatistics, StatisticsOrigin, frechet_distance

if TYPE_CHECKING:
    from ecad_automl.metrics.inception import InceptionFeatures
    from ecad_automl.metrics.lpips import LPIPS
    from ecad_automl.metrics.pixels import PSNR, SSIM

__all__ = [
    "LPIPS",
    "PSNR",
    "SSIM",
    "FeatureStatistics",
    "InceptionFeatures",
    "StatisticsOrigin",
    "frechet_distance",
]

_HOMES = {"InceptionFeatures": "inception", "LPIPS": "lpips", "PSNR": "pixels", "SSIM": "pixels"}


def __getattr__(name: str) -> Any:
    # Loaded on first use: these bring torch along.
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
