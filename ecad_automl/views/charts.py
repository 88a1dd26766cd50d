"""Charts of a study for plotly.js, as plain JSON values: the dashboard and the report draw the same ones.

A color is a name after ``@``, with two digits of opacity where it has some, such as ``@blue80``. The report fills in
those of its theme; :func:`painted` fills in those of the dashboard, with a white background that its dark theme shows
too.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ecad_automl.views.run import Kind, RunView
from ecad_automl.views.study import StudyView

#: Colors that stay apart for color-blind readers (Okabe and Ito, 2008), as in the pictures of ``ecad-automl plot``.
_LIGHT = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "vermillion": "#D55E00",
    "cloud": "#B8CFE0",
    "text": "#22303C",
    "quiet": "#59616C",
    "grid": "#E5E8EB",
    "line": "#9AA3AB",
    "ground": "#FFFFFF",
    "reused": "#EEF1F4",
}
_COLOR = re.compile(f'"@({"|".join(_LIGHT)})([0-9a-f]{{2}})?"')
_SPEEDUPS = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10, 15, 20, 30, 50)
#: Digits of figures: more than is drawn, and less than doubles carry.
_DIGITS = 6

#: Where a run is drawn: its difference to uncached, and half the width of its interval.
Place = Callable[[RunView], tuple[float, float | None]]


class Chart(NamedTuple):
    """A figure of plotly.js.

    Args:
        title: for people.
        told: what it shows, in words, for those who do not see it.
        data: traces.
        layout: axes and what else is of this figure alone.
    """

    title: str
    told: str
    data: list[dict[str, Any]]
    layout: dict[str, Any]


def front_chart(study: StudyView, indices: Mapping[str | None, int] | None = None, most: int | None = None) -> Chart:
    """The front in the search and on unseen prompts, beside all else that was evaluated.

    Speedups stand as their logarithms, for a logarithmic axis of plotly takes no shapes in pixels.

    Args:
        study: what to draw.
        indices: numbers of schedules by genome, which traces are to carry in place of texts.
        most: of the schedules that are neither on the front nor heuristics, so many are shown at most.
    """
    full, confirmed = study.uncached, [run for run in study.front if run.confirmed is not None]
    low, high = _front_range(study)
    others = study.of_kind(Kind.EVALUATED, Kind.INFEASIBLE)
    shown = spread([run for run in others if run.difference >= low] if most else others, most)
    of_all = "" if len(shown) == len(others) else f" ({len(shown)} of {len(others)})"
    stopped = spread(study.of_kind(Kind.STOPPED), most)
    where = ", on unseen prompts" if study.confirmed else ""

    def trace(name: str, runs: Sequence[RunView], place: Place, color: str, **more: Any) -> dict[str, Any]:
        """Points, with whiskers where ``bars`` says so, and names beside them where ``named`` does."""
        bars, named = more.pop("bars", False), more.pop("named", False)
        made: dict[str, Any] = {
            "type": "scatter",
            "mode": more.pop("mode", "markers"),
            "name": name,
            "x": [significant(math.log10(run.speedup)) for run in runs],
            "y": [significant(place(run)[0]) for run in runs],
            "marker": {"color": f"@{color}", "size": 7, **more.pop("marker", {})},
            **more,
        }
        if bars:
            halves = [significant(place(run)[1] or 0.0) for run in runs]
            made["error_y"] = {"type": "data", "array": halves, "color": f"@{color}80", "thickness": 1, "width": 2}
        if named:
            texts = [_plain(run.origin) for run in runs]
            made |= {"mode": "markers+text", "text": texts, "textposition": "middle left"}
            made["textfont"] = {"size": 11, "color": f"@{color}"}
        if indices is not None and runs and all(run.genome in indices for run in runs):
            made |= {"customdata": [indices[run.genome] for run in runs], "hoverinfo": "none"}
        else:
            made["meta"] = {"cost": [significant(run.cost) for run in runs]}
            made |= {"hovertext": [_hover(run, place) for run in runs], "hoverinfo": "text"}
        return made

    traces = [
        trace(f"evaluated{of_all}", shown, _searched, "cloud", marker={"size": 5}),
        trace("stopped early (estimate)", stopped, _searched, "cloud", marker={"size": 5, "symbol": "circle-open"}),
        trace(
            f"fewer steps{where or ', uncached'}",
            [run for run in study.shorter if not math.isnan(_best_known(run)[0])],
            _best_known,
            "green",
            mode="lines+markers",
            line={"color": "@green", "width": 1.2, "dash": "dash"},
            marker={"symbol": "square"},
            bars=bool(study.confirmed),
        ),
        trace(
            f"heuristics{where}",
            study.heuristics,
            _best_known,
            "orange",
            marker={"symbol": "triangle-up", "size": 9},
            named=True,
        ),
        trace(
            "front, in the search" if confirmed else "front",
            study.front,
            _searched,
            "blue",
            mode="lines+markers",
            line={"color": "@blue", "width": 1 if confirmed else 1.8, "dash": "dot" if confirmed else "solid"},
            marker={"size": 6, "symbol": "circle-open"} if confirmed else {"size": 8},
            bars=not confirmed,
        ),
        *(
            trace(
                name,
                [run for run in confirmed if run.confirmed is not None and run.confirmed.survives is survives],
                _best_known,
                color,
                marker={"size": 8, "symbol": symbol},
                bars=True,
            )
            for survives, name, color, symbol in (
                (True, "front, on unseen prompts", "blue", "circle"),
                (False, "beaten on unseen prompts", "vermillion", "x"),
            )
        ),
        trace(
            "front, of fewer steps",
            [run for run in study.front if run.steps < full.steps],
            _best_known,
            "green",
            marker={"size": 13, "symbol": "diamond-open", "line": {"width": 1.5}},
        ),
        trace(
            "recommended",
            [] if study.recommended is None else [study.recommended.run],
            _best_known,
            "text",
            marker={"size": 17, "symbol": "circle-open", "line": {"width": 2}},
        ),
        trace("uncached", [full], lambda _: (0.0, None), "text", marker={"symbol": "star", "size": 14}),
    ]
    places = [math.log10(run.speedup) for run in study.front]
    layout = {
        "xaxis": {
            "title": f"speedup in {'time' if study.timed else 'MACs'} (higher is better)",
            "tickvals": [significant(math.log10(mark)) for mark in _SPEEDUPS],
            "ticktext": [f"{mark:g}x" for mark in _SPEEDUPS],
            "range": [min(*places, 0.0) - 0.02, max(*places, 0.02) + 0.02],
        },
        "yaxis": {
            "title": f"reward difference to uncached<br>{_plain(study.reward_name)} (higher is better)",
            "range": [significant(low), significant(high)],
        },
        "shapes": [_level(0.0, "quiet")],
    }
    told = f"Front of {len(study.front)} schedules, up to {study.front[0].speedup:.2f} times cheaper than uncached"
    return Chart("Front beside what it is compared with", told, [each for each in traces if each["x"]], layout)


def hypervolume_chart(study: StudyView) -> Chart:
    """Hypervolume of the front against evaluations: a point for each improvement, and for the last evaluation."""
    curve = np.asarray(study.hypervolume)
    steps = np.flatnonzero(np.diff(curve, prepend=-np.inf))
    shown = np.unique([*steps.tolist(), len(curve) - 1])
    # The first evaluations say nothing yet, and would hide what follows.
    late = curve[min(len(curve) - 1, max(2, len(curve) // 20)) :]
    room = max(0.1 * float(late[-1] - late[0]), 0.005)
    trace = {
        "type": "scatter",
        "mode": "lines",
        "name": "hypervolume",
        "x": (shown + 1).tolist(),
        "y": [significant(value) for value in curve[shown]],
        "line": {"color": "@blue", "width": 1.8, "shape": "hv"},
        "hovertemplate": "%{x} evaluated: %{y:.4f}<extra></extra>",
    }
    layout = {
        "xaxis": {"title": "evaluated schedules"},
        "yaxis": {
            "title": "normalized hypervolume (higher is better)",
            "range": [max(0.0, float(late[0]) - room), float(late[-1]) + room],
        },
        "showlegend": False,
    }
    told = f"Hypervolume over {len(curve)} evaluations, {curve[-1]:.4g} at the end"
    return Chart("Hypervolume of the front", told, [trace], layout)


def surrogate_chart(study: StudyView) -> Chart | None:
    """How well the surrogate predicted candidates before they were evaluated, by generation.

    Filled marks are of generations in which it chose. None where it has not predicted enough to be judged.
    """
    judged = [each for each in study.generations if each.rank_correlation is not None or each.coverage is not None]
    if not judged:
        return None
    ranks = [each.rank_correlation for each in study.generations]

    def trace(name: str, color: str, symbol: str, dash: str, values: Sequence[float | None]) -> dict[str, Any]:
        symbols = [symbol if each.surrogate_used else f"{symbol}-open" for each in study.generations]
        return {
            "type": "scatter",
            "mode": "lines+markers",
            "name": name,
            "x": [each.generation for each in study.generations],
            "y": [None if value is None else significant(value) for value in values],
            "line": {"color": f"@{color}", "width": 1.5, "dash": dash},
            "marker": {"size": 7, "symbol": symbols},
            "hovertemplate": f"generation %{{x}}: %{{y:.2f}}<extra>{name}</extra>",
        }

    covered = [each.coverage for each in study.generations]
    layout = {
        "xaxis": {"title": "generation", "rangemode": "tozero"},
        "yaxis": {
            "title": "correlation; share of rewards",
            "range": [min([0.0, *(value for value in ranks if value is not None)]) - 0.04, 1.04],
        },
        "shapes": [_level(0.9, "orange")],
    }
    last = judged[-1]
    rank, coverage = (
        "not known" if value is None else f"{value:.2f}" for value in (last.rank_correlation, last.coverage)
    )
    return Chart(
        "Surrogate on candidates it had not seen",
        f"Surrogate over generations; at the end rank correlation {rank}, coverage {coverage}",
        [
            trace("rank correlation at equal cost", "blue", "circle", "solid", ranks),
            trace("coverage of 90 % intervals", "orange", "square", "dash", covered),
        ],
        layout,
    )


def painted(chart: Chart) -> str:
    """A chart as the dashboard takes it: the JSON of a whole figure, in light colors."""
    axis = {"gridcolor": "@grid", "linecolor": "@line", "zeroline": False}
    layout: dict[str, Any] = {
        "title": {"text": chart.title, "x": 0.02, "y": 0.97, "font": {"size": 15}},
        "font": {"family": "Roboto, Helvetica, Arial, sans-serif", "size": 12, "color": "@text"},
        "paper_bgcolor": "@ground",
        "plot_bgcolor": "@ground",
        "margin": {"l": 70, "r": 20, "t": 48, "b": 50},
        "legend": {"orientation": "h", "y": -0.22, "yanchor": "top", "x": 0, "font": {"size": 11}},
        "hovermode": "closest",
        **chart.layout,
    }
    for name in [name for name in layout if name[1:].startswith("axis")]:
        title = {"title": {"text": layout[name]["title"]}} if "title" in layout[name] else {}
        layout[name] = {**axis, **layout[name], **title}
    text = json.dumps({"data": chart.data, "layout": layout}, allow_nan=False, separators=(",", ":"))
    return _COLOR.sub(_light, text)


def _light(found: re.Match[str]) -> str:
    """A named color as text of JSON; with an opacity as ``rgba``, for plotly 6.0 takes no hexadecimal one."""
    color = _LIGHT[found[1]]
    if found[2] is None:
        return f'"{color}"'
    red, green, blue = (int(color[at : at + 2], 16) for at in (1, 3, 5))
    return f'"rgba({red},{green},{blue},{int(found[2], 16) / 255:.3f})"'


def spread(runs: Sequence[RunView], most: int | None) -> list[RunView]:
    """At most so many of them, evenly spread, the first and the last among them."""
    if most is None or len(runs) <= most:
        return list(runs)
    return [runs[index] for index in np.linspace(0, len(runs) - 1, most).round().astype(int)]


def significant(value: float) -> float:
    """A figure with as many digits as are drawn."""
    return float(f"{value:.{_DIGITS}g}")


def _searched(run: RunView) -> tuple[float, float | None]:
    return run.difference, run.half


def _best_known(run: RunView) -> tuple[float, float | None]:
    """On unseen prompts where these were asked."""
    return _searched(run) if run.confirmed is None else (run.confirmed.difference, run.confirmed.half)


def _front_range(study: StudyView) -> tuple[float, float]:
    """The differences that matter: from a little below those of the front at five times the speed."""
    shown = study.telling_front
    seen = [(run.confirmed.difference, run.confirmed.half) for run in shown if run.confirmed is not None]
    searched = [(run.difference, 0.0 if run.confirmed else run.half or 0.0) for run in shown]
    lowest = min(0.0, *(difference for difference, _ in [*searched, *seen]))
    highest = max(0.0, *(difference + half for difference, half in [*searched, *seen]))
    span = max(highest - lowest, 1e-9)
    return lowest - 0.6 * span, highest + 0.12 * span


def _level(at: float, color: str) -> dict[str, Any]:
    """A dotted line across a figure."""
    line = {"color": f"@{color}", "width": 1, "dash": "dot"}
    return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": at, "y1": at, "layer": "below", "line": line}


def _hover(run: RunView, place: Place) -> str:
    return f"{_plain(run.label)}: {run.speedup:.2f}x, {place(run)[0]:+.4f}<br>{run.outline}"


def _plain(text: str) -> str:
    """Text that plotly does not take for markup of its own."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
