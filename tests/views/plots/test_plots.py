from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ecad_automl.errors import EcadError
from ecad_automl.schedules.layout import Layout, Slot
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.views.plots import Point, image_grid, plot_confirmation, plot_convergence, plot_front, plot_heatmap


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def schedule(bits: np.ndarray) -> Schedule:
    return Schedule(Layout("T", tuple(Slot(f"b.{i}", "attn", None, 1000) for i in range(bits.shape[1]))), bits)


def test_a_heatmap_is_darker_the_more_is_computed(tmp_path: Path) -> None:
    full = schedule(np.ones((6, 4), bool))
    sparse = schedule(np.zeros((6, 4), bool))
    plot_heatmap(tmp_path / "full.png", full, title="full")
    plot_heatmap(tmp_path / "sparse.png", sparse, title="sparse")
    assert pixels(tmp_path / "full.png").mean() < pixels(tmp_path / "sparse.png").mean()


def test_the_front_is_drawn_with_all_that_it_is_compared_with(tmp_path: Path) -> None:
    path = tmp_path / "new" / "front.png"
    points = [Point(1.0, -0.3, 0.01), Point(2.0, -0.1, 0.01), Point(3.0, 0.0)]
    plot_front(
        path,
        front=points,
        candidates=[Point(2.5, -0.2)],
        heuristics=[Point(2.6, -0.25, label="fora-2")],
        fewer_steps=[Point(1.5, -0.4, label="5 steps")],
        uncached=Point(3.2, 0.0),
        reward_name="reward",
        title="a front",
    )
    assert pixels(path).std() > 5
    assert [entry.name for entry in path.parent.iterdir()] == ["front.png"]


def test_curves_and_grids_are_drawn(tmp_path: Path) -> None:
    curves = {"one": np.linspace(0, 0.8, 40)[None].repeat(2, axis=0), "two": np.linspace(0, 0.7, 40)[None]}
    plot_convergence(tmp_path / "curves.png", curves, title="curves")
    assert pixels(tmp_path / "curves.png").std() > 5
    image_grid(tmp_path / "grid.png", {"red": np.tile(np.float32([1, 0, 0]), (2, 8, 8, 1))}, ["first", "second"])
    assert (pixels(tmp_path / "grid.png") == [255, 0, 0]).all(axis=2).sum() > 1000


def test_an_unwritable_place_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EcadError, match="cannot be written"):
        image_grid(tmp_path / "file" / "grid.png", {"a": np.zeros((1, 4, 4, 3), np.float32)}, ["x"])


def test_the_confirmed_front_is_drawn_beside_the_apparent_one(tmp_path: Path) -> None:
    def draw(name: str, *, beaten: list[Point]) -> np.ndarray:
        plot_confirmation(
            tmp_path / name,
            searched=[Point(1.0, -0.3), Point(2.0, -0.01), Point(3.0, 0.001)],
            survivors=[Point(1.0, -0.31, 0.02), Point(3.0, 0.0, 0.005)],
            beaten=beaten,
            heuristics=[],
            fewer_steps=[Point(1.5, -0.2, 0.1, "5 steps")],
            full_cost=3.2,
            reward_name="reward",
            title="a front",
        )
        return pixels(tmp_path / name)

    beaten = draw("beaten.png", beaten=[Point(2.0, -0.5, 0.02)])
    orange = (np.abs(beaten.astype(int) - [0xD5, 0x5E, 0x00]).sum(axis=2) < 20).sum()
    none = draw("none.png", beaten=[])
    assert orange > 50
    assert (np.abs(none.astype(int) - [0xD5, 0x5E, 0x00]).sum(axis=2) < 20).sum() == 0
