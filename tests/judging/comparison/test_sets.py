from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchmetrics.image.fid import FrechetInceptionDistance

from ecad_automl.errors import EvaluationError, FileError
from ecad_automl.judging.comparison import UNCACHED, Judge, Sample
from ecad_automl.judging.comparison.sets import folder_statistics, read_statistics, set_distances, statistics_folder
from storage.scores import ScoreFile
from tests.judging.comparison.conftest import PROMPTS, ColorFeatures, every

SIZE = (16, 16)


class _Colors(torch.nn.Module):
    """The same features for torchmetrics."""

    num_features = 3

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.double().mean(dim=(2, 3)) / 255


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Twelve pictures of several sizes and kinds, some in a folder of the folder."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "pictures"
    (folder / "more").mkdir(parents=True)
    for number in range(12):
        pixels = rng.integers(0, 256, size=(20 + number, 30 - number, 3), dtype=np.uint8)
        place = folder / "more" if number % 2 else folder
        Image.fromarray(pixels).save(place / f"{number}.{'png' if number % 3 else 'jpg'}")
    (folder / "notes.txt").write_text("no picture")
    return folder


def test_distances_are_those_of_torchmetrics(tiny_model: Any, tmp_path: Path) -> None:
    sample, judge = Sample(PROMPTS, (0, 1)), Judge(extractors={"fid": ColorFeatures()})
    generator = torch.Generator().manual_seed(0)
    runs = {
        name: torch.rand(10, 3, 8, 8, generator=generator) ** power for name, power in ((UNCACHED, 1), ("every-2", 2))
    }
    runs = {name: (images * 255).round() / 255 for name, images in runs.items()}
    oracle = FrechetInceptionDistance(feature=_Colors(), input_img_size=(3, 8, 8)).set_dtype(torch.float64)
    with ScoreFile.open(tmp_path / "scores.db", {}) as ledger:
        for name, images in runs.items():
            ledger.save(name, sample.items, {}, {judge.key("fid"): ColorFeatures().features(images)})
            oracle.update((images * 255).round().byte(), real=name == UNCACHED)
        found = set_distances(every(tiny_model, 2), sample, judge, ledger)
    assert found["fid"][UNCACHED] == pytest.approx(0.0, abs=1e-9)
    assert found["fid"]["every-2"] == pytest.approx(float(oracle.compute()), rel=1e-4)


def test_statistics_of_a_folder_are_taken_once(pictures: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    first = folder_statistics(
        pictures, ColorFeatures(), SIZE, tmp_path / "kept", lambda done, total: told.append((done, total))
    )
    again = folder_statistics(pictures, ColorFeatures(), SIZE, tmp_path / "kept", lambda *_: pytest.fail("taken again"))
    assert told == [(12, 12)]
    assert first.count == again.count == 12
    assert np.array_equal(first.mean, again.mean)
    [file] = (tmp_path / "kept").iterdir()
    assert read_statistics(file, ColorFeatures(), SIZE).count == 12


def test_other_pictures_sizes_and_weights_have_statistics_of_their_own(pictures: Path, tmp_path: Path) -> None:
    keep = tmp_path / "kept"
    folder_statistics(pictures, ColorFeatures(), SIZE, keep)
    folder_statistics(pictures, ColorFeatures(), (8, 8), keep)
    (pictures / "notes.txt").rename(tmp_path / "notes.txt")  # no picture
    folder_statistics(pictures, ColorFeatures(), SIZE, keep)
    assert len(list(keep.iterdir())) == 2
    (pictures / "4.png").unlink()
    assert folder_statistics(pictures, ColorFeatures(), SIZE, keep).count == 11
    [wrong] = [file for file in keep.iterdir() if "@8@" in file.name]
    with pytest.raises(FileError, match="resolution '8'"):
        read_statistics(wrong, ColorFeatures(), SIZE)


def test_folders_without_pictures_and_damaged_pictures_are_refused(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="holds 0 pictures"):
        folder_statistics(tmp_path / "empty", ColorFeatures(), SIZE, tmp_path / "kept")
    with pytest.raises(EvaluationError, match="FID to a folder is taken of squares"):
        folder_statistics(pictures, ColorFeatures(), (16, 24), tmp_path / "kept")
    (pictures / "1.png").write_text("no picture")
    with pytest.raises(FileError, match="1.png cannot be read"):
        folder_statistics(pictures, ColorFeatures(), SIZE, tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def test_statistics_are_kept_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECAD_AUTOML_CACHE", str(tmp_path))
    assert statistics_folder() == tmp_path / "statistics"
