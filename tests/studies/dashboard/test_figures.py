"""Plots as plain JSON, and the figures behind them."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from ecad_automl.schedules.layout import Layout, Slot
from ecad_automl.schedules.schedule import Schedule
from studies.dashboard.figures import Dot, GenerationDot, compute_plot, front_plot, hypervolume_plot, surrogate_plot
from studies.dashboard.shares import compute_shares
from studies.quality import Scale, hypervolume_curve

go = pytest.importorskip("plotly.graph_objects", reason="plotly is not installed")


def read(text: str) -> dict[str, Any]:
    """A figure that plotly itself takes, of numbers that JSON can hold."""
    found: dict[str, Any] = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    go.Figure(found)
    return found


def front(**changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "front": [Dot(3.0, -0.1, 0.02, "trial 2"), Dot(1.5, -0.01, None, "trial 1")],
        "confirmed": [Dot(3.0, -0.12, 0.03, "trial 2")],
        "heuristics": [Dot(2.0, -0.2, 0.1, "fora <b>2</b>")],
        "fewer_steps": [Dot(2.0, -0.05, 0.1, "10 steps")],
        "candidates": [Dot(1.0 + number / 1000, -0.02) for number in range(2000)],
        "reward": "a<b",
        "cost": "MACs",
    }
    return read(front_plot(**{**given, **changes}))


def test_the_front_stands_beside_all_that_it_is_compared_with() -> None:
    figure = front()
    traces = {trace["name"]: trace for trace in figure["data"]}
    assert list(traces)[1:] == ["heuristics", "fewer steps, uncached", "front", "front on unseen prompts"]
    assert traces["front"]["x"] == [1.5, 3.0]
    assert traces["front"]["error_y"]["array"] == [0.0, 0.02]


def test_of_many_candidates_some_are_shown_and_the_plot_says_so() -> None:
    trace = front()["data"][0]
    assert trace["name"] == "evaluated (600 of 2000)"
    assert len(trace["x"]) == 600


def test_names_are_no_markup_in_plots() -> None:
    figure = front()
    assert figure["data"][1]["text"] == ["fora &lt;b&gt;2&lt;/b&gt;"]
    assert figure["layout"]["yaxis"]["title"]["text"].endswith("a&lt;b")


def test_a_front_of_the_uncached_run_alone_can_be_drawn() -> None:
    figure = front(front=[Dot(1.0, 0.0)], confirmed=[], heuristics=[], fewer_steps=[], candidates=[])
    low, high = figure["layout"]["yaxis"]["range"]
    assert low < 0 < high


def test_the_hypervolume_curve_is_that_of_each_prefix() -> None:
    rng = np.random.default_rng(0)
    rewards, costs = rng.normal(size=60).tolist(), rng.uniform(0.1, 1.0, size=60).tolist()
    counts = (rng.random(60) < 0.8).tolist()
    scale = Scale(2.0, -1.0, 1.0)
    curve = hypervolume_curve(scale, rewards, costs, counts)
    for end in range(1, 61):
        used = [index for index in range(end) if counts[index]]
        expected = scale.hypervolume([rewards[i] for i in used], [costs[i] for i in used]) if used else 0.0
        assert curve[end - 1] == pytest.approx(expected)


def test_the_hypervolume_plot_has_a_point_for_each_improvement_and_the_last_evaluation() -> None:
    trace = read(hypervolume_plot(np.array([0.0, 0.0, 0.5, 0.5, 0.75, 0.75, 0.75])))["data"][0]
    assert dict(zip(trace["x"], trace["y"], strict=True)) == {1: 0.0, 3: 0.5, 5: 0.75, 7: 0.75}


def test_the_surrogate_plot_leaves_out_what_is_not_known() -> None:
    dots = [GenerationDot(0, None, None), GenerationDot(1, 0.5, 0.9), GenerationDot(2, -0.4, None)]
    figure = read(surrogate_plot(dots))
    assert [trace["x"] for trace in figure["data"]] == [[1, 2], [1]]
    assert figure["layout"]["yaxis"]["range"][0] < -0.4
    assert "annotations" not in figure["layout"]


def test_without_predictions_the_surrogate_plot_says_so() -> None:
    figure = read(surrogate_plot([GenerationDot(0, None, None)]))
    assert "too few" in figure["layout"]["annotations"][0]["text"]


def test_computed_shares_are_those_counted_by_hand() -> None:
    slots = (
        Slot("b.0", "attn", None, 1),
        Slot("b.0", "ff", None, 3),
        Slot("b.1", "attn", None, 1),
        Slot("b.1", "ff", None, 3),
    )
    layout = Layout("T", slots, 0)
    bits = np.array([[1, 1, 1, 1], [0, 1, 1, 0]], dtype=bool)
    shares = compute_shares([Schedule.all_compute(layout, 2), Schedule(layout, bits)], ["1x", "2x"])
    assert shares.by_step.tolist() == [[1, 1], [1, 0.5]]
    assert shares.by_block[1].tolist() == [7 / 8, 5 / 8]
    assert shares.by_component[1].tolist() == [3 / 4, 3 / 4]
    figure = read(compute_plot(shares))
    assert [trace["y"] for trace in figure["data"]] == [["0", "1"], ["0", "1"], ["attn", "ff"]]
    assert figure["data"][0]["z"] == [[1.0, 1.0], [1.0, 0.5]]


def test_plots_of_a_large_study_stay_small() -> None:
    rng = np.random.default_rng(0)
    slots = tuple(Slot(f"b.{block}", name, None, 1) for block in range(57) for name in ("attn", "ff", "ff_context"))
    layout = Layout("T", slots, 0)
    schedules = [Schedule(layout, rng.random((50, len(layout))) < 0.5) for _ in range(60)]
    text = compute_plot(compute_shares(schedules, [f"{number}x" for number in range(60)]))
    many = front_plot(
        front=[Dot(1 + number / 10, -number / 100, 0.01, f"trial {number}") for number in range(100)],
        confirmed=[],
        heuristics=[],
        fewer_steps=[],
        candidates=[Dot(2.0, -0.1, None, "trial 1000 (bred)")] * 5000,
        reward="r",
        cost="MACs",
    )
    assert len(text) + len(many) < 100_000
    assert math.isfinite(json.loads(many)["layout"]["yaxis"]["range"][0])
