"""Mean and covariance of features, how far two sets are apart, and the files that keep those of a data set."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Self
from urllib.parse import quote

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecad_automl.errors import EvaluationError, FileError

_SCHEMA = "ecad-automl/feature-statistics/1"
_DIGITS = 16


@dataclass(frozen=True)
class StatisticsOrigin:
    """What statistics are of: they can be compared with others only where all but the data set is the same.

    Args:
        dataset: name of the images, with their split or revision if there are several.
        resolution: width and height of the images in pixels before the network's own resizing.
        resize: how the network resizes, see :class:`~ecad_automl.metrics.InceptionFeatures`.
        weights_digest: of the network's weights.
    """

    dataset: str
    resolution: int
    resize: str
    weights_digest: str

    def path(self, folder: Path) -> Path:
        """Where statistics are kept: the name tells all that they depend on, of the digest the first 16 digits."""
        parts = (self.dataset, str(self.resolution), self.resize, self.weights_digest[:_DIGITS])
        return folder / f"{'@'.join(quote(part, safe=' ') for part in parts)}.safetensors"


@dataclass(frozen=True, eq=False)
class FeatureStatistics:
    """Mean and scatter of a set of feature vectors, from which the set itself need not be kept.

    Args:
        count: number of vectors, n.
        mean: ``(d,)`` float64.
        scatter: ``(d, d)`` float64, the sum over vectors of ``(x - mean)(x - mean)'``.
    """

    count: int
    mean: NDArray[np.float64]
    scatter: NDArray[np.float64]

    @classmethod
    def from_features(cls, features: ArrayLike) -> Self:
        """Statistics of ``(n, d)`` finite features, n at least 1.

        Raises:
            EvaluationError: the shape is another, or a feature is NaN or infinite.
        """
        array = np.asarray(features, dtype=np.float64)
        if array.ndim != 2 or not array.size:
            raise EvaluationError(f"Features of shape {array.shape} were given; (n, d) with at least one is expected.")
        if not np.isfinite(array).all():
            raise EvaluationError(
                "There are NaN or infinite features; look at the images that they come from, or use a wider dtype."
            )
        mean = array.mean(axis=0)
        centered = array - mean
        found = cls(len(array), mean, centered.T @ centered)
        if 1 < len(array) <= len(mean):
            vars(found)["factor"] = centered.T / math.sqrt(len(array) - 1)
        return found

    @property
    def covariance(self) -> NDArray[np.float64]:
        """``(d, d)``: the unbiased covariance.

        Raises:
            EvaluationError: there are fewer than two vectors.
        """
        if self.count < 2:
            raise EvaluationError(f"The covariance of {self.count} image is not defined; at least 2 are needed.")
        return self.scatter / (self.count - 1)

    @cached_property
    def factor(self) -> NDArray[np.float64]:
        """``(d, r)``: A of the covariance ``C = A A'``, r no less than its rank.

        Of no more vectors than features it is known without eigenvectors, which take a second of 2,048 features.

        Raises:
            EvaluationError: there are fewer than two vectors.
        """
        values, vectors = np.linalg.eigh(self.covariance)
        kept = values > values.max(initial=0.0) * len(values) * np.finfo(np.float64).eps
        return np.asarray(vectors[:, kept] * np.sqrt(values[kept]))

    def merge(self, other: FeatureStatistics) -> FeatureStatistics:
        """Statistics of both sets together (Chan et al. 1979, updating formulae for sample variances)."""
        count = self.count + other.count
        apart = other.mean - self.mean
        between = np.outer(apart, apart) * (self.count * other.count / count)
        return FeatureStatistics(
            count, self.mean + apart * (other.count / count), self.scatter + other.scatter + between
        )

    def save(self, path: Path, origin: StatisticsOrigin) -> None:
        """Write a safetensors file that says what it is of; an interrupted write leaves none."""
        from safetensors.numpy import save_file

        metadata = {name: str(value) for name, value in asdict(origin).items()}
        metadata |= {"schema": _SCHEMA, "count": str(self.count)}
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.partial")
        save_file({"mean": self.mean, "scatter": np.ascontiguousarray(self.scatter)}, partial, metadata)
        partial.replace(path)

    @classmethod
    def load(cls, path: Path, origin: StatisticsOrigin) -> Self:
        """Read a file, if it is of what was asked for.

        Raises:
            EvaluationError: there is no such file, it is none of these, or it is of something else.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "np") as file:
                metadata = file.metadata() or {}
                if metadata.get("schema") != _SCHEMA:
                    raise FileError(
                        f"The file {str(path)!r} has the schema {metadata.get('schema')!r}; feature statistics "
                        f"({_SCHEMA!r}) are expected."
                    )
                _check_origin(path, metadata, origin)
                return cls(int(metadata["count"]), file.get_tensor("mean"), file.get_tensor("scatter"))
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise FileError(
                f"The feature statistics {str(path)!r} cannot be read ({error}); make them again from the images."
            ) from error


def frechet_distance(first: FeatureStatistics, second: FeatureStatistics) -> float:
    """Squared Fréchet distance of the two Gaussians; of Inception features, the FID of Heusel et al. 2017.

    ``|m1 - m2|^2 + tr(C1) + tr(C2) - 2 tr((C1 C2)^(1/2))``. The last trace is the sum of the singular values of
    ``A1' A2`` where ``C = A A'``, which needs no square root of a matrix that is not symmetric and is as exact where
    there are fewer images than features. FID is biased: it falls as there are more images, so only distances of equal
    counts can be compared.

    Args:
        first: of one set, of at least two images.
        second: of the other, in the same features.

    Returns:
        The distance, at least 0.

    Raises:
        EvaluationError: the features differ in number, or a set has fewer than two images.
    """
    if first.mean.shape != second.mean.shape:
        raise EvaluationError(
            f"Statistics of {len(first.mean)} and of {len(second.mean)} features cannot be compared; take both from "
            "the same layer of the same network."
        )
    apart = float(np.square(first.mean - second.mean).sum())
    factors = [statistics.factor for statistics in (first, second)]
    variance = sum(float(np.square(factor).sum()) for factor in factors)
    common = float(np.linalg.svd(factors[0].T @ factors[1], compute_uv=False).sum())
    return max(0.0, apart + variance - 2 * common)


def _check_origin(path: Path, metadata: dict[str, str], origin: StatisticsOrigin) -> None:
    for name, wanted in asdict(origin).items():
        if metadata.get(name) != str(wanted):
            raise FileError(
                f"The feature statistics {str(path)!r} are of the {name.replace('_', ' ')} {metadata.get(name)!r}; "
                f"{str(wanted)!r} was asked for. Distances between the two would mean nothing."
            )
