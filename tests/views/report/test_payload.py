from __future__ import annotations

import base64
import json
from dataclasses import replace

import numpy as np
import pytest

from ecad_automl.schedules.schedule import Schedule
from ecad_automl.views.report._payload import payload, script_json
from ecad_automl.views.report.data import Report
from tests.views.report.made_up import LAYOUT, STEPS, bits_of, made_up_report, report_of_several_steps, with_study


def test_bits_of_all_schedules_stand_one_after_another() -> None:
    data = made_up_report()
    packed = np.frombuffer(base64.b64decode(payload(data)["schedules"]["bits"]), dtype=np.uint8)
    rows = packed.reshape(len(data.schedules), -1)
    for index, row in enumerate(rows):
        bits = np.unpackbits(row, count=STEPS * len(LAYOUT)).reshape(STEPS, len(LAYOUT))
        np.testing.assert_array_equal(bits, bits_of(data, index))


def test_columns_have_a_figure_for_every_schedule() -> None:
    data = made_up_report()
    columns = payload(data)["schedules"]
    for name in ("trial", "label", "speedup", "cost", "gmacs", "reward", "difference", "half", "generation"):
        assert len(columns[name]) == len(data.schedules), name
    for name in ("kind", "origin", "operator"):
        texts = [columns[name]["texts"][row] for row in columns[name]["rows"]]
        assert texts == [str(getattr(schedule, name) or "") for schedule in data.schedules]


def test_skipped_steps_and_damping_of_a_genome_go_beside_the_bits() -> None:
    data = made_up_report(images=False)
    study, first = data.study, data.schedules[0]
    schedule = Schedule(study.layout, study.schedule(first).compute, np.arange(study.steps) == 3)
    assert schedule.to_genome().count("/") == 2
    runs = tuple(replace(run, genome=schedule.to_genome()) if run is first else run for run in study.runs)
    found = payload(with_study(data, runs=runs))["schedules"]
    levels = "0" * (len(study.layout.components) + 1) * study.steps
    assert found["more"][0] == {"skip": [3], "damping": levels, "guidance": None}
    assert set(found["more"][1:]) == {None}
    size = -(-study.steps * len(study.layout) // 8)
    assert base64.b64decode(found["bits"])[:size].hex() == schedule.to_hex()


def test_schedules_of_fewer_steps_have_fewer_bits_and_what_is_done_about_guidance() -> None:
    data = report_of_several_steps()
    found = payload(data)
    columns = found["schedules"]
    assert columns["steps"][:3] == [4, 4, 6]
    packed, begin = base64.b64decode(columns["bits"]), 0
    for index, steps in enumerate(columns["steps"]):
        size = -(-steps * len(LAYOUT) // 8)
        assert packed[begin : begin + size].hex() == data.study.schedule(data.schedules[index]).to_hex()
        begin += size
    assert begin == len(packed)
    assert (columns["more"][0]["skip"], columns["more"][0]["guidance"]) == ([2], "0105")
    assert next(columns["outline"]["texts"][row] for row in columns["outline"]["rows"]) == (
        "4 steps, 3 run, 1 guided, 97 % of slots"
    )
    # Numbers are those of all schedules.
    assert found["sameSteps"]["front"] == [2, 3, 4, 5]
    assert payload(made_up_report(images=False))["sameSteps"] is None


@pytest.mark.parametrize("text", ["</script>", "<!--", "]]>", "a & b", "\u2028", "é", '"'])
def test_no_text_can_end_the_script_that_carries_it(text: str) -> None:
    written = script_json({text: [text]})
    assert not set("<>&\u2028\u2029") & set(written)
    assert json.loads(written) == {text: [text]}


def test_a_figure_that_is_not_finite_is_refused_rather_than_written() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        script_json(payload(_without_cost(made_up_report())))


def _without_cost(report: Report) -> Report:
    study = report.study
    return with_study(report, uncached=replace(study.uncached, gmacs=float("nan")))


def test_five_thousand_schedules_of_a_large_model_are_small() -> None:
    data = made_up_report(evaluated=5000, images=False)
    size = len(script_json(payload(data)))
    assert size < 5016 * 150
