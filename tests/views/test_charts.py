"""Charts as plain JSON, and the figures behind them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ecad_automl.schedules.genomes import Genomes
from ecad_automl.schedules.layout import Layout, Slot
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.views.charts import Chart, front_chart, hypervolume_chart, painted, surrogate_chart
from ecad_automl.views.compute_chart import compute_chart
from ecad_automl.views.run import Kind
from ecad_automl.views.study import GenerationView
from tests.views.report.made_up import made_up_study, report_of_several_steps

go = pytest.importorskip("plotly.graph_objects", reason="plotly is not installed")


def read(chart: Chart | None) -> dict[str, Any]:
    """A figure that plotly itself takes, colors included, of numbers that JSON can hold."""
    assert chart is not None
    found: dict[str, Any] = json.loads(painted(chart), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    go.Figure(found)
    assert "@" not in painted(chart)
    return found


def traces(chart: Chart) -> dict[str, dict[str, Any]]:
    return {trace["name"]: trace for trace in read(chart)["data"]}


def test_the_front_stands_beside_all_that_it_is_compared_with() -> None:
    study = made_up_study()
    found = traces(front_chart(study))
    assert list(found) == [
        "evaluated",
        "stopped early (estimate)",
        "fewer steps, on unseen prompts",
        "heuristics, on unseen prompts",
        "front, in the search",
        "front, on unseen prompts",
        "beaten on unseen prompts",
        "recommended",
        "uncached",
    ]
    np.testing.assert_allclose(
        found["front, in the search"]["x"], np.log10([run.speedup for run in study.front]), atol=1e-6
    )
    assert found["fewer steps, on unseen prompts"]["y"] == [-0.22, -0.05]
    assert found["front, on unseen prompts"]["error_y"]["array"] == [0.02] * 5


def test_a_front_that_was_not_confirmed_has_the_intervals_of_the_search() -> None:
    found = traces(front_chart(made_up_study(confirmed=False)))
    assert "beaten on unseen prompts" not in found
    assert found["front"]["error_y"]["array"] == [0.01] * 6
    assert "error_y" not in found["fewer steps, uncached"]


def test_schedules_are_known_by_their_numbers_where_these_are_given() -> None:
    study = made_up_study()
    found = traces(front_chart(study, {run.genome: 7 * place for place, run in enumerate(study.runs)}))
    assert found["heuristics, on unseen prompts"]["customdata"] == [42, 49]
    assert found["uncached"]["meta"]["cost"] == [6.0]


def test_of_many_candidates_some_are_shown_and_the_chart_says_so() -> None:
    trace = read(front_chart(made_up_study(evaluated=2000), most=600))["data"][0]
    assert trace["name"] == "evaluated (600 of 2001)"
    assert len(trace["x"]) == 600


def test_names_are_no_markup_in_charts() -> None:
    chart = front_chart(made_up_study())
    assert traces(chart)["heuristics, on unseen prompts"]["text"][1].startswith("&lt;img")
    assert "&lt;b&gt;clip&lt;/b&gt;" in read(chart)["layout"]["yaxis"]["title"]["text"]


def test_a_front_of_the_uncached_run_alone_can_be_drawn() -> None:
    study = made_up_study(confirmed=False)
    alone = replace(study.uncached, kind=Kind.FRONT, genome="00")
    low, high = read(front_chart(replace(study, runs=(alone,), shorter=())))["layout"]["yaxis"]["range"]
    assert low < 0 < high


def test_the_hypervolume_chart_has_a_point_for_each_improvement_and_the_last_evaluation() -> None:
    study = replace(made_up_study(), hypervolume=(0.0, 0.0, 0.5, 0.5, 0.75, 0.75, 0.75))
    trace = read(hypervolume_chart(study))["data"][0]
    assert dict(zip(trace["x"], trace["y"], strict=True)) == {1: 0.0, 3: 0.5, 5: 0.75, 7: 0.75}


def test_the_surrogate_chart_leaves_open_what_is_not_known() -> None:
    generations = (GenerationView(0, 8), GenerationView(1, 9, 0.5, 0.9), GenerationView(2, 10, -0.4, None))
    figure = read(surrogate_chart(replace(made_up_study(), generations=generations)))
    assert [trace["y"] for trace in figure["data"]] == [[None, 0.5, -0.4], [None, 0.9, None]]
    assert figure["layout"]["yaxis"]["range"][0] < -0.4


def test_without_predictions_there_is_no_surrogate_chart() -> None:
    assert surrogate_chart(replace(made_up_study(), generations=(GenerationView(0, 8),))) is None


def test_computed_shares_are_those_counted_by_hand() -> None:
    slots = (
        Slot("b.0", "attn", None, 1),
        Slot("b.0", "ff", None, 3),
        Slot("b.1", "attn", None, 1),
        Slot("b.1", "ff", None, 3),
    )
    layout = Layout("T", slots, 0)
    bits = np.array([[1, 1, 1, 1], [0, 1, 1, 0]], dtype=bool)
    study = made_up_study()
    identity = {**study.identity, "generation": {**study.identity["generation"], "steps": 2}}
    run = replace(study.front[0], genome=Schedule(layout, bits).to_genome())
    figure = read(compute_chart(replace(study, genomes=Genomes(layout, 2), identity=identity), [run]))
    by_step, by_block, by_component = (np.ravel(trace["z"]).tolist() for trace in figure["data"])
    assert by_step == [1.0, 0.5]
    assert by_block == [0.88, 0.62]
    assert by_component == [0.75, 0.75]
    assert figure["data"][1]["y"] == ["0", "1"]


def test_charts_are_small() -> None:
    study = made_up_study(evaluated=5000)
    sizes = [len(painted(front_chart(study, most=600))), len(painted(compute_chart(study, study.front)))]
    assert sum(sizes) < 100_000


def test_schedules_of_fewer_steps_are_marked_on_the_front_and_say_what_they_do() -> None:
    study = report_of_several_steps().study
    marked = traces(front_chart(study))["front, of fewer steps"]
    np.testing.assert_allclose(marked["x"], np.log10([study.front[0].speedup, study.front[1].speedup]), atol=1e-6)
    assert marked["hovertext"][0].endswith("<br>4 steps, 3 run, 1 guided, 97 % of slots")
    assert "front, of fewer steps" not in traces(front_chart(made_up_study()))


def test_shares_of_schedules_of_fewer_steps_are_of_their_own_and_stretched() -> None:
    study = report_of_several_steps().study
    found = read(compute_chart(study, [study.front[1]]))
    step, block, _ = (np.array(trace["z"])[:, 0] for trace in found["data"])
    np.testing.assert_allclose(step, [1, 1, 1, 0, 1, 1])
    np.testing.assert_allclose(block, 0.75)
    assert found["layout"]["yaxis"]["title"]["text"] == "step, runs of fewer steps stretched"
