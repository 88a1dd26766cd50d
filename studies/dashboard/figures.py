"""Plots of a study for the dashboard, from plain data.

Each is the JSON of a plotly figure with a white background of its own, which the dashboard shows in its dark theme too.
Numbers are rounded and points counted: each page of the dashboard carries all plots of a study.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecad_automl.errors import StorageError
from studies.dashboard.shares import ComputeShares

__all__ = ["Dot", "GenerationDot", "compute_plot", "front_plot", "hypervolume_plot", "surrogate_plot"]

Figure = Any
"""A figure of plotly, which has no types."""

#: Colors that stay apart for color-blind readers (Okabe and Ito, 2008), as in the pictures of ``ecad-automl plot``.
_BLUE, _PALE, _ORANGE, _GREEN, _RED, _BLACK = "#0072B2", "#B8CFE0", "#E69F00", "#009E73", "#D55E00", "#000000"
_REUSE = "#EEF1F4"
#: Points in the background of the front.
_CANDIDATES = 600
#: Labels below the columns of computed shares.
_MARKS = 9
_SPEEDUPS = (1, 1.25, 1.5, 2, 3, 4, 5, 7, 10, 15, 20)


@dataclass(frozen=True)
class Dot:
    """A schedule or run.

    Args:
        speedup: in what the study minimizes.
        difference: mean reward minus that of the uncached run.
        half: half width of its 95 % interval; None for none.
        label: for people.
    """

    speedup: float
    difference: float
    half: float | None = None
    label: str = ""


@dataclass(frozen=True)
class GenerationDot:
    """How good the surrogate was known to be at a generation; None where nobody could tell yet.

    Args:
        generation: its number.
        rank_correlation: of predicted and measured rewards within bands of equal cost, on candidates that were
            predicted before they were evaluated.
        coverage: share of measured rewards inside the 90 % interval.
    """

    generation: int
    rank_correlation: float | None
    coverage: float | None


def front_plot(
    *,
    front: Sequence[Dot],
    confirmed: Sequence[Dot],
    heuristics: Sequence[Dot],
    fewer_steps: Sequence[Dot],
    candidates: Sequence[Dot],
    reward: str,
    cost: str,
) -> str:
    """The front in the search and confirmed, beside heuristics, runs of fewer steps and what else was evaluated.

    Args:
        front: at least one schedule.
        confirmed: the front on unseen prompts; may be empty.
        heuristics: published ones.
        fewer_steps: uncached runs.
        candidates: all others; of many, evenly spaced ones are shown.
        reward: name of the reward.
        cost: what the study minimizes.

    Returns:
        JSON of a plotly figure.

    Raises:
        StorageError: plotly is not installed.
    """
    figure = _figure("Front beside what it is compared with")
    lowest = _lowest(front)
    seen = [dot for dot in candidates if dot.difference >= lowest]
    some = [seen[index] for index in np.unique(np.linspace(0, len(seen) - 1, min(_CANDIDATES, len(seen))).astype(int))]
    of_all = "" if len(some) == len(seen) else f" ({len(some)} of {len(seen)})"
    _dots(figure, some, f"evaluated{of_all}", color=_PALE, symbol="circle", size=5)
    _dots(figure, heuristics, "heuristics", color=_ORANGE, symbol="triangle-up", size=9)
    _dots(figure, _ordered(fewer_steps), "fewer steps, uncached", color=_GREEN, symbol="square", size=8, dash="dash")
    _dots(figure, _ordered(front), "front", color=_BLUE, symbol="circle", size=7, dash="solid")
    _dots(figure, _ordered(confirmed), "front on unseen prompts", color=_RED, symbol="diamond-open", size=8)
    figure.add_hline(y=0, line={"color": _BLACK, "width": 1, "dash": "dot"})
    # The scale is that of the front: a run of very few steps would squeeze all else into a line.
    tops = [dot.difference + (dot.half or 0) for dot in (*front, *confirmed, Dot(1, 0.0))]
    span = max(max(tops) - lowest, 1e-9)
    fastest = max(dot.speedup for dot in (*front, *confirmed))
    figure.update_xaxes(
        type="log",
        range=[-0.02, math.log10(1.08 * max(fastest, 1.2))],
        tickvals=list(_SPEEDUPS),
        ticktext=[f"{value:g}x" for value in _SPEEDUPS],
        title=f"speedup in {cost} (higher is better)",
    )
    figure.update_yaxes(range=[lowest, max(tops) + 0.06 * span], title=f"difference to uncached: {_plain(reward)}")
    return _json(figure)


def hypervolume_plot(curve: NDArray[np.float64]) -> str:
    """Hypervolume of the front against evaluations.

    Args:
        curve: ``(n,)`` normalized hypervolume after each evaluation.

    Returns:
        JSON of a plotly figure.

    Raises:
        StorageError: plotly is not installed.
    """
    figure = _figure("Hypervolume of the front")
    # A step per improvement, and the end.
    steps = np.flatnonzero(np.diff(curve, prepend=-np.inf, append=np.inf)[: len(curve)])
    shown = np.unique([*steps.tolist(), len(curve) - 1])
    _line(figure, (shown + 1).tolist(), [_round(value) for value in curve[shown]], "hypervolume", _BLUE, shape="hv")
    late = curve[len(curve) // 20 :]
    figure.update_xaxes(title="evaluated schedules")
    figure.update_yaxes(title="normalized hypervolume", range=[float(late.min()) - 0.01, float(curve.max()) + 0.01])
    figure.update_layout(showlegend=False)
    return _json(figure)


def surrogate_plot(generations: Sequence[GenerationDot]) -> str:
    """How well the surrogate predicted candidates before they were evaluated, by generation.

    Returns:
        JSON of a plotly figure.

    Raises:
        StorageError: plotly is not installed.
    """
    figure = _figure("Surrogate on candidates it had not seen")
    for name, color, values in (
        ("rank correlation at equal cost", _BLUE, [dot.rank_correlation for dot in generations]),
        ("share inside the 90 % interval", _ORANGE, [dot.coverage for dot in generations]),
    ):
        known = [
            (dot.generation, _round(value)) for dot, value in zip(generations, values, strict=True) if value is not None
        ]
        _line(figure, [x for x, _ in known], [y for _, y in known], name, color, marks=True)
    figure.add_hline(y=0.9, line={"color": _ORANGE, "width": 1, "dash": "dot"})
    figure.add_hline(y=0, line={"color": _BLACK, "width": 1})
    if not any(dot.rank_correlation is not None or dot.coverage is not None for dot in generations):
        figure.add_annotation(
            text="too few predictions to judge yet", x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False
        )
    lowest = min((dot.rank_correlation or 0.0 for dot in generations), default=0.0)
    figure.update_xaxes(title="generation")
    figure.update_yaxes(range=[min(-0.1, lowest - 0.1), 1.05])
    return _json(figure)


def compute_plot(shares: ComputeShares) -> str:
    """Which share of the MACs schedules compute, by step, depth and component; one column per schedule.

    Returns:
        JSON of a plotly figure.

    Raises:
        StorageError: plotly is not installed.
    """
    make_subplots = _plotly("plotly.subplots").make_subplots
    heatmap = _plotly("plotly.graph_objects").Heatmap
    heights = np.array([len(shares.step_names), len(shares.block_names), len(shares.components)]) + 1.0
    # Names of components must stay apart, however many steps and blocks there are.
    heights = np.maximum(heights, heights.sum() * np.array([0.2, 0.2, 0.05 * heights[2]]))
    figure = make_subplots(
        rows=3, shared_xaxes=True, vertical_spacing=0.03, row_heights=(heights / heights.sum()).tolist()
    )
    rows: Mapping[str, tuple[Sequence[str], NDArray[np.float64]]] = {
        "step": (shares.step_names, shares.by_step),
        "block": (shares.block_names, shares.by_block),
        "component": (shares.components, shares.by_component),
    }
    for number, (name, (names, values)) in enumerate(rows.items(), start=1):
        figure.add_trace(
            heatmap(
                z=[[_round(value, 2) for value in row] for row in values.T],
                x=list(shares.labels),
                y=list(names),
                zmin=0,
                zmax=1,
                colorscale=[[0, _REUSE], [1, _BLUE]],
                showscale=number == 1,
                colorbar={"title": {"text": "computed"}, "tickformat": ".0%"},
                hovertemplate=f"%{{x}}<br>{name} %{{y}}<br>%{{z:.0%}} of its MACs computed<extra></extra>",
            ),
            row=number,
            col=1,
        )
        figure.update_yaxes(autorange="reversed", type="category", row=number, col=1)
    figure.update_yaxes(title="step", row=1, col=1)
    figure.update_yaxes(title="block", row=2, col=1)
    figure.update_yaxes(tickvals=list(shares.components), row=3, col=1)
    _dress(figure, "What the front computes, from the dearest schedule to the cheapest")
    marks = np.unique(np.linspace(0, len(shares.labels) - 1, _MARKS).round().astype(int))
    figure.update_xaxes(type="category", tickvals=[shares.labels[index] for index in marks])
    figure.update_xaxes(ticktext=[shares.labels[index].partition(",")[0] for index in marks], tickangle=0)
    figure.update_xaxes(title="speedup", row=3, col=1)
    return _json(figure)


def _lowest(front: Sequence[Dot]) -> float:
    """A little below the front up to five times; schedules that are far worse than most do not count."""
    near = [dot.difference for dot in front if dot.speedup <= 5] or [max(dot.difference for dot in front)]
    worst = max(min(near), 8 * min(float(np.median(near)), -1e-6))
    return worst - 0.4 * max(-worst, 1e-6)


def _ordered(dots: Sequence[Dot]) -> list[Dot]:
    return sorted(dots, key=lambda dot: dot.speedup)


def _dots(
    figure: Figure, dots: Sequence[Dot], name: str, *, color: str, symbol: str, size: int, dash: str | None = None
) -> None:
    """Points with whiskers; a line through them where it has a dash."""
    if not dots:
        return
    halves = [_round(dot.half or 0.0) for dot in dots]
    figure.add_scatter(
        x=[_round(dot.speedup) for dot in dots],
        y=[_round(dot.difference) for dot in dots],
        error_y={"array": halves, "thickness": 1, "width": 0, "visible": any(halves), "color": f"{color}70"},
        text=[_plain(dot.label) for dot in dots],
        mode="markers" if dash is None else "lines+markers",
        marker={"color": color, "symbol": symbol, "size": size},
        line={"color": color, "width": 1.5, "dash": dash or "solid"},
        name=name,
        hovertemplate="%{text}<br>%{x:.2f}x, %{y:+.4f}<extra></extra>",
    )


def _line(
    figure: Figure,
    x: Sequence[float],
    y: Sequence[float],
    name: str,
    color: str,
    *,
    shape: str = "linear",
    marks: bool = False,
) -> None:
    figure.add_scatter(
        x=list(x),
        y=list(y),
        name=name,
        mode="lines+markers" if marks else "lines",
        line={"color": color, "width": 2, "shape": shape},
        hovertemplate="%{x}: %{y:.3f}<extra></extra>",
    )


def _figure(title: str) -> Figure:
    figure = _plotly("plotly.graph_objects").Figure()
    _dress(figure, title)
    return figure


def _dress(figure: Figure, title: str) -> None:
    """The same look for all, without plotly's own template, which is longer than most of these figures."""
    grid = {"gridcolor": "#E5E8EB", "linecolor": "#9AA3AB", "zeroline": False}
    figure.update_layout(
        template={},
        title={"text": title, "x": 0.02, "y": 0.97, "font": {"size": 15}},
        font={"family": "Roboto, Helvetica, Arial, sans-serif", "size": 12, "color": "#22303C"},
        paper_bgcolor="white",
        plot_bgcolor="white",
        margin={"l": 70, "r": 20, "t": 64, "b": 50},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "font": {"size": 11}},
        hovermode="closest",
    )
    figure.update_xaxes(**grid)
    figure.update_yaxes(**grid)


def _plotly(module: str) -> Any:
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise StorageError("plotly is not installed; install it with pip install 'ecad-automl[dashboard]'.") from error


def _json(figure: Figure) -> str:
    text: str = figure.to_json()
    return text


def _round(value: float, digits: int = 5) -> float:
    return round(float(value), digits)


def _plain(text: str) -> str:
    """Text that plotly does not take for markup of its own."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
