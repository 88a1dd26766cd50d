from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ecad_automl.errors import EcadError
from ecad_automl.latency.result import Batch, BenchResult, Row
from ecad_automl.views.plots.speedup import plot_speedup

ABOUT = {"model": "some/model", "dtype": "bfloat16", "device_name": "cpu"}


def result(batches: int = 1, *, whole: bool = True) -> BenchResult:
    rows = (
        Row("uncached", "uncached", 10, 1.0, (2.0, 2.2), (1.0, 1.1)),
        Row("fora-2", "schedule", 10, 2.0, (1.2, 1.3), (0.55, 0.6)),
        Row("fora-2 again", "schedule", 10, 2.0, (1.2, 1.3), (0.55, 0.6)),
        Row("5 steps", "fewer steps", 5, 2.0, (1.1, 1.1), (0.5, 0.5)),
        Row("unknown", "cache", 10, None, (1.1, 1.1), (0.5, 0.5)),
    )
    return BenchResult(ABOUT, tuple(Batch(size + 1, rows) for size in range(batches)), whole)


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def test_each_batch_size_has_a_panel_and_schedules_and_steps_their_colors(tmp_path: Path) -> None:
    plot_speedup(tmp_path / "one.png", result())
    plot_speedup(tmp_path / "two.png", result(2))
    one, two = pixels(tmp_path / "one.png"), pixels(tmp_path / "two.png")
    assert two.shape[1] > 1.5 * one.shape[1]
    for color in ([0x00, 0x72, 0xB2], [0x00, 0x9E, 0x73]):
        assert (one == color).all(axis=2).sum() > 100


def test_a_transformer_benchmark_has_no_hollow_markers(tmp_path: Path) -> None:
    plot_speedup(tmp_path / "whole.png", result())
    plot_speedup(tmp_path / "inner.png", result(whole=False))
    blue = [(pixels(tmp_path / name) == [0x00, 0x72, 0xB2]).all(axis=2).sum() for name in ("whole.png", "inner.png")]
    assert blue[0] > blue[1]


def test_an_unwritable_place_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EcadError, match="cannot be written"):
        plot_speedup(tmp_path / "file" / "bench.png", result())
