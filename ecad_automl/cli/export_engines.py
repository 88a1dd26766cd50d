"""``ecad-automl export --to``: schedules of a study as other engines take them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecad_automl.api.terminal import say
from ecad_automl.cli.output import messages, print_json, results, step
from ecad_automl.cli.study_model import Place, load_study_model
from ecad_automl.cli.verbosity import quiet_libraries
from ecad_automl.engines import EngineExport, export_for, reuse_note
from ecad_automl.errors import StudyError
from ecad_automl.files.json_file import write_texts
from ecad_automl.judging.statistics import half_width
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.schedules.whole_steps import of_whole_steps, projected, whole_steps_of
from ecad_automl.views.run import RunView, interval_text
from ecad_automl.views.study import StudyView


@dataclass(frozen=True)
class _Projection:
    """What was measured of a projected schedule, on the study's prompts."""

    difference: float
    half: float | None


def export_to(
    study: StudyView,
    runs: Sequence[RunView],
    engine: str,
    out: Path,
    *,
    project: bool,
    place: Place,
    batch_size: int,
    json_output: bool,
) -> None:
    """Write what an engine takes for each run that is of whole steps, or with ``project`` for the nearest mask of each.

    Raises:
        StudyError: none of several runs is of whole steps.
        ScheduleError: the one run is not.
    """
    chosen = {run: study.schedule(run) for run in runs if run.genome is not None}
    whole = {run: each for run, each in chosen.items() if _saves(each)}
    measured: dict[RunView, _Projection] = {}
    if project:
        others = {
            run: of_whole_steps(study.layout, projected(each)) for run, each in chosen.items() if run not in whole
        }
        others = {run: each for run, each in others.items() if _saves(each)}
        if others:
            measured = _measure(study, others, place, batch_size)
        whole = {run: whole.get(run) or others[run] for run in chosen if run in whole or run in others}
    if len(chosen) == 1 and not whole:
        ((run, schedule),) = chosen.items()
        export_for(engine, schedule, study.file_name(run))  # which says why not
    if not whole:
        raise StudyError(
            f"None of the {len(chosen)} schedules of the front is of whole steps, which is all that {engine} takes; "
            "search with --deploy whole-steps, or project them on the nearest whole steps (--project)."
        )
    console = results(json_output=json_output)
    written: list[dict[str, Any]] = []
    for run, schedule in whole.items():
        name = study.file_name(run)
        made = export_for(engine, schedule, name)
        write_texts(out, made.files, "files for another engine")
        path = out / next(iter(made.files))
        told = _told(run, schedule, measured.get(run))
        say(console, f"{path}: {told}", keep=[path])
        notes = [note for note in (*made.notes, reuse_note(schedule, engine)) if note]
        written.append(
            {
                "trial": run.trial,
                "files": [out / file for file in made.files],
                "steps_computed": _mask(schedule),
                "mac_speedup": schedule.mac_speedup * study.steps / schedule.steps,
                "projected_difference": measured[run].difference if run in measured else None,
                "notes": notes,
            }
        )
        for note in notes:
            say(console, f"  {note}")
    left = sum(run not in whole and whole_steps_of(each) is None for run, each in chosen.items())
    if left:
        say(console, f"{left} other{'s' * (left > 1)} of the front are left out: they choose within their steps.")
    _say_how(console, made)
    if json_output:
        print_json(
            {
                "schema": "ecad-automl/engine-export/1",
                "study": study.name,
                "storage": study.storage,
                "engine": engine,
                "schedules": written,
                "how": made.how,
                "tested": made.tested,
            }
        )


def _say_how(console: Any, made: EngineExport) -> None:
    # A program or flags, whose line stays as it is.
    say(console, f"\n{made.how}", keep=[made.how])
    say(console, f"\n{made.tested}")


def _saves(schedule: Schedule) -> bool:
    mask = whole_steps_of(schedule)
    return mask is not None and not mask.all()


def _mask(schedule: Schedule) -> list[int]:
    mask = whole_steps_of(schedule)
    return [] if mask is None else [int(computed) for computed in mask]


def _told(run: RunView, schedule: Schedule, found: _Projection | None) -> str:
    computed = sum(_mask(schedule))
    does = f"computes {computed} of {schedule.steps} steps"
    if found is None:
        return f"{does}; {run.savings}, reward {run.difference:+.4f} to uncached as searched here"
    half = "" if found.half is None else interval_text(found.difference, found.half, " ±")
    reward = half or f"{found.difference:+.4f}"
    return f"{does} in place of trial {run.trial}; reward {reward} to uncached, where that has {run.difference:+.4f}"


def _measure(
    study: StudyView, schedules: dict[RunView, Schedule], place: Place, batch_size: int
) -> dict[RunView, _Projection]:
    """Images under each, on the prompts and noise of the search."""
    console = messages()
    with step(console, "Loading the model"):
        quiet_libraries()
        from ecad_automl.judging.evaluation import Evaluator
        from ecad_automl.rewards import load_reward, maximized

        loaded = load_study_model(study, place)
        scorer = maximized(load_reward(study.reward_name, device=place.device))
        evaluator = Evaluator(
            loaded.pipe, study.prompts, study.identity["seeds"], scorer, loaded.settings, batch_size=batch_size
        )
    found: dict[RunView, _Projection] = {}
    with evaluator:
        for number, (run, schedule) in enumerate(schedules.items(), start=1):
            with step(console, f"Measuring projection {number} of {len(schedules)}"):
                seen = evaluator.evaluate(schedule).difference
            half = half_width(seen.standard_error, len(study.prompts)) if len(study.prompts) > 1 else None
            found[run] = _Projection(seen.mean, half)
    return found
