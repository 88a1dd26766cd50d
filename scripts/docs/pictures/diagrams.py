"""Boxes and arrows: the search loop and the rooms of the code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scripts.docs.pictures.study import Study
from scripts.docs.pictures.style import COLORS, INK, MUTED, drawing
from studies.config import SearchConfig

__all__ = ["loop", "rooms"]

_PALE = {"blue": "#DCE9F4", "orange": "#FBEBCB", "green": "#D6EEE6", "grey": "#EEF1F4"}
_EDGE = {"blue": COLORS["search"], "orange": COLORS["heuristic"], "green": COLORS["steps"], "grey": MUTED}

Box = tuple[float, float, float, float]


def loop(study: Study, path: Path) -> None:
    """From the uncached run to a confirmed front."""
    config, layout = SearchConfig(), study.stored.layout
    prompts = len(study.stored.identity["prompts"])
    with drawing(path, 8.4, 4.1, "none") as figure:
        axes = _plane(figure, 84, 41)
        calibrate = _box(
            axes, (1, 29, 20, 11), "Calibrate",
            f"uncached run, {prompts} prompts\ndrift of {len(layout)} slots\nruns of fewer steps", "grey",
        )  # fmt: skip
        seeds = _box(
            axes, (1, 14, 20, 11), "Seed", "FORA; steps to skip and\nslots to forecast of\nleast expected error", "grey"
        )
        breed = _box(
            axes, (28, 29, 20, 11), "Breed",
            f"NSGA-II picks parents,\noperators make a pool\nof {config.pool} children", "blue",
        )  # fmt: skip
        choose = _box(
            axes, (62, 29, 21, 11), "Choose",
            f"surrogate predicts all;\n{config.offspring - config.unfiltered} of most expected gain,\n"
            f"{config.unfiltered} drawn by lot", "blue",
        )  # fmt: skip
        evaluate = _box(
            axes,
            (62, 14, 21, 11),
            "Evaluate",
            "anchors first, the rest\nof the images only\nwhere it is worth it",
            "orange",
        )
        learn = _box(axes, (28, 14, 20, 11), "Learn", "surrogate, its trust,\nanchors, operators", "blue")
        front = _box(axes, (28, 1, 20, 8), "Front", "at any time", "green")
        confirm = _box(axes, (62, 1, 21, 8), "Confirm, export", "on prompts never seen", "green")
        _arrow(axes, calibrate, seeds)
        _arrow(axes, seeds, learn)
        _arrow(axes, learn, breed)
        _arrow(axes, breed, choose)
        _arrow(axes, choose, evaluate)
        _arrow(axes, evaluate, learn)
        _arrow(axes, learn, front)
        _arrow(axes, front, confirm)
        axes.text(
            55, 26.8, "one generation", ha="center", va="center", fontsize=9, color=COLORS["search"], style="italic"
        )


def rooms(study: Study, path: Path) -> None:
    """The packages and who uses whom."""
    del study
    with drawing(path, 8.4, 3.7, "none") as figure:
        axes = _plane(figure, 84, 37)
        cli = _box(axes, (24, 29, 36, 7), "ecad_automl.cli", "commands", "grey")
        api = _box(axes, (24, 20, 36, 7), "ecad_automl.api", "search, Front, config files", "grey")
        studies = _box(axes, (24, 11, 36, 7), "studies", "Optuna: sampler, study, search loop", "blue")
        surrogate = _box(axes, (1, 1, 24, 7), "surrogate", "arrays; no torch, no Optuna", "orange")
        core = _box(axes, (30, 1, 24, 7), "ecad_automl", "schedules, runtime, rewards", "green")
        storage = _box(axes, (59, 1, 24, 7), "storage", "study database; no torch", "orange")
        for start, end in ((cli, api), (api, studies), (studies, surrogate), (studies, core), (studies, storage)):
            _arrow(axes, start, end)
        _arrow(axes, surrogate, core)
        _arrow(axes, storage, core)


def _plane(figure: Any, width: float, height: float) -> Any:
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(0, height)
    axes.set_axis_off()
    return axes


def _box(axes: Any, place: Box, title: str, text: str, color: str) -> Box:
    from matplotlib.patches import FancyBboxPatch

    x, y, width, height = place
    axes.add_patch(
        FancyBboxPatch(
            (x, y),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=1",
            facecolor=_PALE[color],
            edgecolor=_EDGE[color],
            linewidth=1.1,
        )
    )
    lines = text.count("\n") + 1
    axes.text(
        x + width / 2, y + height / 2 + 1.05 * lines, title, ha="center", va="center", weight="bold", fontsize=9.5
    )
    axes.text(x + width / 2, y + height / 2 - 1.25, text, ha="center", va="center", fontsize=8.2, linespacing=1.25)
    return place


def _arrow(axes: Any, start: Box, end: Box) -> None:
    (x, y, w, h), (u, v, k, m) = start, end
    if y >= v + m:  # downwards
        over = max(x, u), min(x + w, u + k)
        middle = sum(over) / 2 if over[0] < over[1] else None
        begin, stop = (
            (middle if middle is not None else x + w / 2, y),
            (middle if middle is not None else u + k / 2, v + m),
        )
    elif v >= y + h:
        begin, stop = (x + w / 2, y + h), (u + k / 2, v)
    elif u > x:
        begin, stop = (x + w, y + h / 2), (u, v + m / 2)
    else:
        begin, stop = (x, y + h / 2), (u + k, v + m / 2)
    axes.annotate(
        "", stop, begin, arrowprops={"arrowstyle": "-|>", "color": INK, "lw": 1.1, "shrinkA": 1, "shrinkB": 1}
    )
