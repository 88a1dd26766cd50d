from __future__ import annotations

from dataclasses import replace

from ecad_automl.views.report.data import spread_choice
from ecad_automl.views.run import RunView
from ecad_automl.views.study import StudyView
from tests.views.report.made_up import made_up_study


def recommended(study: StudyView) -> RunView:
    assert study.recommended is not None
    return study.recommended.run


def test_the_recommended_schedule_is_not_told_from_uncached_or_from_the_mildest_run_of_fewer_steps() -> None:
    study = made_up_study(confirmed=False)
    mildest = min(
        (run for run in study.searched_shorter if run.speedup > 1), key=lambda run: run.speedup, default=study.uncached
    )
    found = recommended(study)
    alike = [run for run in study.front if run.speedup > 1 and run.difference + (run.half or 0) >= 0]
    alike = alike or [run for run in study.front if run.difference + (run.half or 0) >= mildest.difference]
    assert found == max(alike, key=lambda run: run.speedup)


def test_unseen_prompts_decide_where_they_were_asked() -> None:
    study = made_up_study()
    assert study.confirmed is not None
    first, *others = [run for run in study.confirmed.front if run.confirmed is not None and run.speedup > 1]
    # The cheapest is as good as uncached there, whatever the search said; of the others nothing survives.
    assert first.confirmed is not None
    good = replace(first, confirmed=replace(first.confirmed, difference=0.0, survives=True))
    bad = [replace(run, confirmed=run.confirmed and replace(run.confirmed, survives=False)) for run in others]
    changed = replace(study, confirmed=replace(study.confirmed, front=(good, *bad)))
    assert recommended(changed) == good
    assert "nothing cheaper is as good" in str(changed.recommended)


def test_a_spread_has_the_recommended_schedule_and_leaves_out_what_saves_nothing() -> None:
    study = made_up_study()
    usual = recommended(study).trial
    saving = [run.trial for run in study.front if run.speedup > 1]

    def trials(count: int) -> list[int | None]:
        return [run.trial for run in spread_choice(study, count)]

    assert usual in trials(1)
    for count in range(1, 5):
        assert len(set(trials(count))) == count
        assert usual in trials(count)
    assert trials(3)[0] == saving[0]
    assert trials(10) == saving
