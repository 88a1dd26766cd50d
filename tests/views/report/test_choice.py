from __future__ import annotations

from dataclasses import replace

from ecad_automl.views.report.choice import spread_choice, usual_choice
from ecad_automl.views.report.data import ReportData, ScheduleFigures
from tests.views.report.made_up import made_up_report


def trials(data: ReportData, count: int) -> list[int | None]:
    return [schedule.trial for schedule in spread_choice(data, count)]


def test_the_usual_choice_is_the_best_at_twice_the_speed() -> None:
    data = made_up_report(confirmed=False)
    fast = [schedule for schedule in data.front if data.speedup(schedule) >= 2]
    assert usual_choice(data) == max(fast, key=lambda schedule: schedule.reward)


def test_a_schedule_that_survives_is_chosen_before_a_better_one_that_does_not() -> None:
    data = made_up_report()
    changed = replace(data, schedules=tuple(_survives(s, survives=s.trial == 0) for s in data.schedules))
    assert usual_choice(changed).trial == 0
    assert usual_choice(changed).reward < usual_choice(data).reward


def _survives(schedule: ScheduleFigures, *, survives: bool) -> ScheduleFigures:
    found = schedule.confirmed
    return schedule if found is None else replace(schedule, confirmed=replace(found, survives=survives))


def test_a_spread_has_the_usual_choice_and_leaves_out_what_saves_nothing() -> None:
    data = made_up_report()
    usual = usual_choice(data).trial
    saving = [schedule.trial for schedule in data.front if data.speedup(schedule) > 1]
    assert usual in trials(data, 1)
    for count in range(1, 5):
        assert len(set(trials(data, count))) == count
        assert usual in trials(data, count)
    assert trials(data, 3)[0] == saving[0]
    assert trials(data, 10) == saving
