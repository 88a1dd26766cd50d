from __future__ import annotations

from dataclasses import replace

from ecad_automl.views.report.data import spread_choice, usual_choice
from ecad_automl.views.run import RunView
from tests.views.report.made_up import made_up_study


def test_the_usual_choice_is_the_best_at_twice_the_speed() -> None:
    front = made_up_study(confirmed=False).front
    assert usual_choice(front) == max((run for run in front if run.speedup >= 2), key=lambda run: run.reward)


def test_a_schedule_that_survives_is_chosen_before_a_better_one_that_does_not() -> None:
    front = made_up_study().front
    changed = [_survives(run, survives=run.trial == 0) for run in front]
    assert usual_choice(changed).trial == 0
    assert usual_choice(changed).reward < usual_choice(front).reward


def _survives(run: RunView, *, survives: bool) -> RunView:
    found = run.confirmed
    return run if found is None else replace(run, confirmed=replace(found, survives=survives))


def test_a_spread_has_the_usual_choice_and_leaves_out_what_saves_nothing() -> None:
    front = made_up_study().front
    usual = usual_choice(front).trial
    saving = [run.trial for run in front if run.speedup > 1]

    def trials(count: int) -> list[int | None]:
        return [run.trial for run in spread_choice(front, count)]

    assert usual in trials(1)
    for count in range(1, 5):
        assert len(set(trials(count))) == count
        assert usual in trials(count)
    assert trials(3)[0] == saving[0]
    assert trials(10) == saving
