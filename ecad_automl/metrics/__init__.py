"""Metrics: how close images are to others, pair by pair (PSNR, SSIM, LPIPS) and as sets (FID)."""

from ecad_automl.metrics.inception import InceptionFeatures
from ecad_automl.metrics.paired import LPIPS, PSNR, SSIM
from ecad_automl.metrics.statistics import FeatureStatistics, StatisticsOrigin, frechet_distance

__all__ = [
    "LPIPS",
    "PSNR",
    "SSIM",
    "FeatureStatistics",
    "InceptionFeatures",
    "StatisticsOrigin",
    "frechet_distance",
]
