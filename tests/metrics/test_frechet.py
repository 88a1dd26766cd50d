from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from ecad_automl.errors import EvaluationError, FileError
from ecad_automl.metrics import FeatureStatistics, StatisticsOrigin, frechet_distance

ORIGIN = StatisticsOrigin("coco-2014", 256, "tensorflow", "ab" * 32)

Features = NDArray[np.float64]


def features(count: int, width: int = 6, seed: int = 0, scale: float = 1.0) -> Features:
    """Correlated, not centred."""
    rng = np.random.default_rng(seed)
    return scale * (rng.standard_normal((count, width)) @ rng.standard_normal((width, width)) + rng.random(width))


def statistics(count: int, width: int = 6, seed: int = 0) -> FeatureStatistics:
    return FeatureStatistics.from_features(features(count, width, seed))


def by_scipy(first: Features, second: Features) -> float:
    """The formula of the paper, with a square root of a matrix."""
    covariances = [np.cov(values, rowvar=False) for values in (first, second)]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1])
    apart = first.mean(axis=0) - second.mean(axis=0)
    return float(apart @ apart + np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * np.trace(root).real)


class _Columns(nn.Module):
    """Features that torchmetrics need not compute: they are its images."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_features = width

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)


def by_torchmetrics(first: Features, second: Features) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it keeps what it computes in double precision
        from torchmetrics.image.fid import FrechetInceptionDistance

        metric = FrechetInceptionDistance(feature=_Columns(first.shape[1])).set_dtype(torch.float64)
        metric.update(torch.from_numpy(first), real=True)
        metric.update(torch.from_numpy(second), real=False)
        return float(metric.compute())


@pytest.mark.parametrize("oracle", [by_scipy, by_torchmetrics])
@pytest.mark.parametrize("width", [1, 2, 30])
def test_the_distance_is_that_of_others(oracle: object, width: int) -> None:
    first, second = features(100, width, seed=1), features(80, width, seed=2)
    if width == 1 and oracle is by_scipy:
        expected = (first.mean() - second.mean()) ** 2 + (first.std(ddof=1) - second.std(ddof=1)) ** 2
    else:
        expected = oracle(first, second)  # type: ignore[operator]
    found = frechet_distance(FeatureStatistics.from_features(first), FeatureStatistics.from_features(second))
    assert found == pytest.approx(expected, rel=1e-9)


def test_the_distance_of_diagonal_gaussians_is_that_of_means_and_deviations() -> None:
    rng = np.random.default_rng(0)
    means, deviations = rng.random((2, 5)), 0.1 + rng.random((2, 5))
    first, second = (
        FeatureStatistics(11, mean, np.diag(10 * deviation**2))
        for mean, deviation in zip(means, deviations, strict=True)
    )
    expected = np.square(means[0] - means[1]).sum() + np.square(deviations[0] - deviations[1]).sum()
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-12)


@settings(max_examples=30, deadline=None)
@given(
    counts=st.tuples(st.integers(2, 30), st.integers(2, 30)),
    width=st.integers(1, 12),
    seed=st.integers(0, 1000),
    scale=st.sampled_from([1e-3, 1.0, 1e3]),
)
def test_the_distance_is_symmetric_not_negative_and_zero_to_itself(
    counts: tuple[int, int], width: int, seed: int, scale: float
) -> None:
    first, second = (
        FeatureStatistics.from_features(features(count, width, seed + number, scale))
        for number, count in enumerate(counts)
    )
    there, back = frechet_distance(first, second), frechet_distance(second, first)
    size = np.trace(first.covariance) + np.trace(second.covariance)
    assert there >= 0
    assert there == pytest.approx(back, rel=1e-6, abs=1e-9 * size)
    assert frechet_distance(first, first) <= 1e-9 * size


def test_fewer_images_than_features_give_the_distance_of_the_space_that_they_span() -> None:
    few, others = features(10, 8, seed=3), features(12, 8, seed=4)
    turn = np.linalg.qr(np.random.default_rng(5).standard_normal((200, 200)))[0][:8]
    wide = [FeatureStatistics.from_features(values @ turn) for values in (few, others)]
    narrow = [FeatureStatistics.from_features(values) for values in (few, others)]
    kept = [FeatureStatistics(each.count, each.mean, each.scatter) for each in wide]  # as read from a file
    assert frechet_distance(*wide) == pytest.approx(frechet_distance(*narrow), rel=1e-9)
    assert frechet_distance(*kept) == pytest.approx(frechet_distance(*wide), rel=1e-9)
    assert frechet_distance(wide[0], wide[0]) < 1e-9


def test_equal_images_give_a_finite_distance() -> None:
    constant = FeatureStatistics.from_features(np.ones((3, 4)))
    assert frechet_distance(constant, constant) == 0
    assert frechet_distance(constant, FeatureStatistics.from_features(np.zeros((3, 4)))) == pytest.approx(4)


def test_sets_of_other_features_or_of_one_image_are_refused() -> None:
    with pytest.raises(EvaluationError, match="6 and of 7 features"):
        frechet_distance(statistics(9, 6), statistics(9, 7))
    with pytest.raises(EvaluationError, match="covariance of 1 image"):
        frechet_distance(statistics(1), statistics(9))


def test_statistics_are_mean_and_unbiased_covariance() -> None:
    values = features(20)
    found = FeatureStatistics.from_features(values.astype(np.float32))
    assert found.count == 20
    assert found.mean.dtype == found.covariance.dtype == np.float64
    assert found.mean == pytest.approx(values.mean(axis=0), abs=1e-6)
    assert found.covariance == pytest.approx(np.cov(values, rowvar=False), abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(parts=st.lists(st.integers(1, 9), min_size=1, max_size=5), offset=st.sampled_from([0.0, 1e4]))
def test_statistics_merged_from_parts_are_those_of_the_whole(parts: list[int], offset: float) -> None:
    values = features(sum(parts), seed=len(parts)) + offset
    ends = np.cumsum(parts)
    merged, *others = (FeatureStatistics.from_features(part) for part in np.split(values, ends[:-1]))
    for other in others:
        merged = merged.merge(other)
    whole = FeatureStatistics.from_features(values)
    assert merged.count == whole.count
    assert merged.mean == pytest.approx(whole.mean, rel=1e-12)
    assert merged.scatter == pytest.approx(whole.scatter, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("bad", [np.zeros(3), np.zeros((0, 3)), np.zeros((2, 3, 4))])
def test_features_of_another_shape_are_refused(bad: Features) -> None:
    with pytest.raises(EvaluationError, match="shape"):
        FeatureStatistics.from_features(bad)


def test_features_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(EvaluationError, match="NaN or infinite"):
        FeatureStatistics.from_features([[0.0, np.nan]])


def test_statistics_survive_their_file(tmp_path: Path) -> None:
    path = ORIGIN.path(tmp_path / "new")
    kept = statistics(9)
    kept.save(path, ORIGIN)
    read = FeatureStatistics.load(path, ORIGIN)
    assert read.count == 9
    assert (read.mean == kept.mean).all()
    assert (read.scatter == kept.scatter).all()
    assert [file.name for file in path.parent.iterdir()] == ["coco-2014@256@tensorflow@abababababababab.safetensors"]


OTHERS = [
    StatisticsOrigin("mjhq-30k", 256, "tensorflow", "ab" * 32),
    StatisticsOrigin("coco-2014", 512, "tensorflow", "ab" * 32),
    StatisticsOrigin("coco-2014", 256, "antialias", "ab" * 32),
    StatisticsOrigin("coco-2014", 256, "tensorflow", "cd" * 32),
]


@pytest.mark.parametrize("other", OTHERS)
def test_statistics_never_serve_for_something_else(tmp_path: Path, other: StatisticsOrigin) -> None:
    path = ORIGIN.path(tmp_path)
    assert other.path(tmp_path) != path
    statistics(9).save(path, ORIGIN)
    path.rename(other.path(tmp_path))
    with pytest.raises(FileError, match="was asked for"):
        FeatureStatistics.load(other.path(tmp_path), other)


def test_a_digest_that_only_begins_alike_is_refused(tmp_path: Path) -> None:
    other = StatisticsOrigin("coco-2014", 256, "tensorflow", "ab" * 31 + "cd")
    assert other.path(tmp_path) == ORIGIN.path(tmp_path)
    statistics(9).save(ORIGIN.path(tmp_path), ORIGIN)
    with pytest.raises(FileError, match="of the weights digest"):
        FeatureStatistics.load(other.path(tmp_path), other)


@pytest.mark.parametrize("names", [("a/b", "a-b"), ("a/b", "a%2Fb"), ("a", "a@256"), ("../a", "a")])
def test_data_sets_of_any_name_have_files_of_their_own_in_the_folder(tmp_path: Path, names: tuple[str, str]) -> None:
    paths = [StatisticsOrigin(name, 256, "tensorflow", "ab" * 32).path(tmp_path) for name in names]
    assert paths[0] != paths[1]
    assert {path.parent for path in paths} == {tmp_path}


def test_a_file_that_holds_no_statistics_is_refused(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    path = ORIGIN.path(tmp_path)
    with pytest.raises(FileError, match="cannot be read"):
        FeatureStatistics.load(path, ORIGIN)
    path.write_bytes(b"no statistics")
    with pytest.raises(FileError, match="cannot be read"):
        FeatureStatistics.load(path, ORIGIN)
    save_file({"mean": np.zeros(3)}, path)
    with pytest.raises(FileError, match="has the schema None"):
        FeatureStatistics.load(path, ORIGIN)
