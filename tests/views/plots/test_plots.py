from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ecad_automl.errors import EcadError
from ecad_automl.schedules.layout import Layout, Slot
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.views.plots import (
    AMPLIFICATION,
    image_grid,
    plot_confirmation,
    plot_front,
    plot_heatmap,
    plot_hypervolume,
    plot_shares,
    plot_surrogate,
)
from ecad_automl.views.run import RunView
from tests.views.report.made_up import made_up_study, report_of_several_steps


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


def test_a_heatmap_with_forecasts_and_skipped_steps_has_their_colors_and_a_legend(tmp_path: Path) -> None:
    slots = tuple(Slot(f"b.{i}", "attn", None, 1000) for i in range(4))
    compute = np.zeros((6, 4), bool)
    compute[:2] = True
    levels = np.tile([[2, 0]], (6, 1))
    found = Schedule(Layout("T", slots), compute, [0, 0, 0, 1, 0, 0], levels, np.tile([1.5, -0.5], (6, 5, 1)))
    plot_heatmap(tmp_path / "drawn.png", found, title="drawn")
    colors = {tuple(color) for color in pixels(tmp_path / "drawn.png").reshape(-1, 3).astype(int)}
    assert (230, 159, 0) in colors  # forecast by 2/3
    plot_heatmap(tmp_path / "plain.png", schedule(compute), title="drawn")
    assert (230, 159, 0) not in {tuple(c) for c in pixels(tmp_path / "plain.png").reshape(-1, 3).astype(int)}


def test_the_front_is_drawn_with_all_that_it_is_compared_with(tmp_path: Path) -> None:
    path = tmp_path / "new" / "front.png"
    plot_front(path, made_up_study())
    assert pixels(path).std() > 5
    assert [entry.name for entry in path.parent.iterdir()] == ["front.png"]


def test_equal_names_of_neighbors_are_not_drawn_over_each_other() -> None:
    study = report_of_several_steps().study
    (*_, shorter) = [run for run in study.front if run.steps != study.steps]
    near = replace(shorter, speedup=1.01 * shorter.speedup, cost=shorter.cost / 1.01, reward=shorter.reward - 1e-3)
    texts = [text.get_text() for text in plot_front(None, study).axes[0].texts]
    again = [text.get_text() for text in plot_front(None, replace(study, runs=(*study.runs, near))).axes[0].texts]
    assert str(shorter.steps) in texts
    assert sorted(texts) == sorted(again)


def test_schedules_of_fewer_steps_are_ringed_in_their_color(tmp_path: Path) -> None:
    study = report_of_several_steps().study
    green = np.array([0, 158, 115])
    ringed, plain = (
        int((pixels(tmp_path / name) == green).all(axis=-1).sum())
        for name, shown in (("ringed.png", study), ("plain.png", made_up_study(confirmed=False)))
        if plot_front(tmp_path / name, shown)
    )
    assert ringed > plain
    plot_shares(tmp_path / "shares.png", study)  # of steps that are not as many
    assert pixels(tmp_path / "shares.png").std() > 5


def test_curves_and_grids_are_drawn(tmp_path: Path) -> None:
    for name, draw in (("volume", plot_hypervolume), ("surrogate", plot_surrogate), ("shares", plot_shares)):
        draw(tmp_path / f"{name}.png", made_up_study())
        assert pixels(tmp_path / f"{name}.png").std() > 5
    image_grid(tmp_path / "grid.png", {"red": np.tile(np.float32([1, 0, 0]), (2, 8, 8, 1))}, ["first", "second"])
    assert (pixels(tmp_path / "grid.png") == [255, 0, 0]).all(axis=2).sum() > 1000


def test_below_cached_images_stands_how_they_differ(tmp_path: Path) -> None:
    red, near = np.tile(np.float32([1, 0, 0]), (1, 8, 8, 1)), np.tile(np.float32([1, 0.2, 0]), (1, 8, 8, 1))
    image_grid(tmp_path / "grid.png", {"uncached": red, "cached": near}, ["a prompt"])
    found = pixels(tmp_path / "grid.png")
    for color in ([255, 0, 0], [255, 51, 0], [0, 51 * AMPLIFICATION, 0]):
        assert (found == color).all(axis=2).sum() > 1000


def test_an_unwritable_place_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EcadError, match="cannot be written"):
        image_grid(tmp_path / "file" / "grid.png", {"a": np.zeros((1, 4, 4, 3), np.float32)}, ["x"])


def test_beaten_schedules_stand_out_on_the_confirmed_front(tmp_path: Path) -> None:
    study = made_up_study()
    found = study.confirmed
    assert found is not None

    def orange(name: str, front: tuple[RunView, ...]) -> int:
        plot_confirmation(tmp_path / name, study, replace(found, front=front))
        return int((np.abs(pixels(tmp_path / name).astype(int) - [0xD5, 0x5E, 0x00]).sum(axis=2) < 20).sum())

    assert orange("beaten.png", found.front) > 50
    assert orange("none.png", found.survivors) == 0
