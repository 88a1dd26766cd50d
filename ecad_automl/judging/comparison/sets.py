"""Metrics of sets: the Fréchet distance of each run's features from those of a reference."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from ecad_automl.errors import EvaluationError, FileError
from ecad_automl.judging.comparison.metrics import UNCACHED, Judge
from ecad_automl.judging.comparison.runner import Ledger, Sample
from ecad_automl.metrics import FeatureStatistics, InceptionFeatures, StatisticsOrigin, frechet_distance

if TYPE_CHECKING:
    from torch import Tensor

_PICTURES = (".png", ".jpg", ".jpeg", ".webp")
_BATCH = 32
#: Largest picture that is read: 8,192 x 8,192.
_MOST_PIXELS = 2**26


def set_distances(
    runs: Collection[str],
    sample: Sample,
    judge: Judge,
    ledger: Ledger,
    reference: FeatureStatistics | None = None,
) -> dict[str, dict[str, float]]:
    """Distances by metric, then run, from the reference; from the uncached run where there is none.

    Raises:
        EvaluationError: there are fewer than two images.
    """
    found: dict[str, dict[str, float]] = {}
    for metric in judge.extractors:

        def statistics(run: str, key: str = judge.key(metric)) -> FeatureStatistics:
            return FeatureStatistics.from_features(ledger.features(run, key, sample.items))

        uncached = statistics(UNCACHED)
        base = reference or uncached
        of_uncached = {UNCACHED: 0.0 if base is uncached else frechet_distance(uncached, base)}
        found[metric] = of_uncached | {run: frechet_distance(statistics(run), base) for run in runs}
    return found


def statistics_folder() -> Path:
    """Where statistics of folders are kept: ``$ECAD_AUTOML_CACHE/statistics``, by default in ``~/.cache``."""
    return Path(os.environ.get("ECAD_AUTOML_CACHE", Path.home() / ".cache" / "ecad-automl")) / "statistics"


def folder_statistics(
    folder: Path,
    extractor: InceptionFeatures,
    size: tuple[int, int],
    keep: Path,
    progress: Callable[[int, int], object] | None = None,
) -> FeatureStatistics:
    """Statistics of the pictures in a folder, taken once for each set of pictures, resolution, resizing and weights.

    Pictures are brought to the size of the generated images: the short side by bicubic resizing, the rest cut off
    evenly.

    Args:
        folder: holds pictures, those in folders of it included.
        extractor: gives the features.
        size: height and width of the generated images in pixels; both the same.
        keep: where statistics are kept.
        progress: is told how many of all pictures are done.

    Raises:
        EvaluationError: there are fewer than two pictures, one cannot be read, or the size is no square.
    """
    if size[0] != size[1]:
        raise EvaluationError(f"The images have {size[1]} x {size[0]} pixels; FID to a folder is taken of squares.")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _PICTURES)
    if len(files) < 2:
        raise EvaluationError(
            f"The folder {folder} holds {len(files)} pictures ({', '.join(_PICTURES)}); FID needs thousands, and at "
            "least 2."
        )
    origin = _origin(_dataset(folder, files), size[0], extractor)
    path = origin.path(keep)
    if path.exists():
        return FeatureStatistics.load(path, origin)
    total: FeatureStatistics | None = None
    for done, images in _pictures(files, size[0]):
        part = FeatureStatistics.from_features(extractor.features(images))
        total = part if total is None else total.merge(part)
        if progress is not None:
            progress(done, len(files))
    assert total is not None
    total.save(path, origin)
    return total


def read_statistics(path: Path, extractor: InceptionFeatures, size: tuple[int, int]) -> FeatureStatistics:
    """Statistics from a file that :func:`folder_statistics` kept, checked to be of this resolution and these weights.

    Raises:
        EvaluationError: the file cannot be read, or is of something else.
    """
    return FeatureStatistics.load(path, _origin(unquote(path.stem.partition("@")[0]), size[0], extractor))


def _origin(dataset: str, resolution: int, extractor: InceptionFeatures) -> StatisticsOrigin:
    return StatisticsOrigin(dataset, resolution, extractor.resize, extractor.weights[0].digest)


def _dataset(folder: Path, files: Sequence[Path]) -> str:
    """A name that another set of pictures does not have: folders of one name hold different ones."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(folder)}\0{file.stat().st_size}\0".encode())
    return f"{folder.resolve().name}-{digest.hexdigest()[:12]}"


def _pictures(files: Sequence[Path], side: int) -> Iterator[tuple[int, Tensor]]:
    """How many are read, and the latest of them as ``(n, 3, side, side)`` in [0, 1]."""
    import numpy as np
    import torch
    from PIL import Image, ImageOps

    for start in range(0, len(files), _BATCH):
        batch = []
        for file in files[start : start + _BATCH]:
            try:
                with Image.open(file) as picture:
                    if picture.width * picture.height > _MOST_PIXELS:  # a small file can claim to be a very large one
                        raise FileError(
                            f"The picture {file} has {picture.width} x {picture.height} pixels, more than the "
                            f"{_MOST_PIXELS} that are read; remove it or make it smaller."
                        )
                    fitted = ImageOps.fit(picture.convert("RGB"), (side, side), Image.Resampling.BICUBIC)
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
                raise FileError(f"The picture {file} cannot be read ({error}); remove or restore it.") from error
            batch.append(torch.from_numpy(np.asarray(fitted, dtype=np.float32) / 255).permute(2, 0, 1))
        yield start + len(batch), torch.stack(batch)
