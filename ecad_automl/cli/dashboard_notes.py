"""Notes for the dashboard: a schedule, and a study, in Markdown; imports neither torch nor Optuna."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from ecad_automl.api.export import file_name_of
from ecad_automl.cli.dashboard_study import Shown, half_width
from ecad_automl.cli.studies import StoredStudy
from ecad_automl.cli.study_snippet import study_snippet
from ecad_automl.sharing.markdown import code, plain, table
from ecad_automl.sharing.snippet import PROMPT
from storage import BaselineRecord, EvaluationRecord
from storage import shown as shown_location
from studies.confirmation import Confirmation
from studies.dashboard.content import Artifact, Kind
from studies.quality import worst_of_interest

__all__ = ["schedule_note", "study_note"]

_PROMPTS = 6
_ROWS = 24
_FOLDER = "schedules"
#: Characters of a line of code, and of a prompt in it, that fit beside the list of trials.
_LINE = 76
_PROMPT = 64
#: What a picture shows, for those who do not see it.
_SHOWN = {
    Kind.GRID: "Images of the first prompts: uncached, cached, and their difference",
    Kind.HEATMAP: "Which component of which block is computed at which step",
}
#: Between the columns of tables, to which the dashboard gives no room.
_GAP = "\u2003"


def schedule_note(study: StoredStudy, shown: Shown, storage: str, pictures: Sequence[Artifact] = ()) -> str:
    """What a schedule saves and loses, where it came from, and how to export and apply it.

    Args:
        study: it is of.
        shown: the schedule.
        storage: the study database, as the user names it.
        pictures: to show in it.
    """
    record = shown.record
    macs = study.uncached.gmacs / record.gmacs
    lines = [
        f"## {_savings(study, record)}, reward {shown.difference:+.4f} to uncached",
        "",
        _table(["", "this schedule", "uncached"], _figures(study, shown, macs)),
        "",
        _origin(shown),
        "",
        "Export it:",
        "",
        _fenced(_export(study, storage, f"--trial {shown.number}"), "bash"),
        "",
        "Apply it:",
        "",
        _fenced(_apply(study, record), "python"),
        *(f"\n![{_SHOWN[picture.kind]}]({shown.facts.pictures}{picture.id})" for picture in pictures),
    ]
    return "\n".join(lines)


def study_note(study: StoredStudy, shown: Sequence[Shown], confirmation: Confirmation | None, storage: str) -> str:
    """What was searched with, what everything is compared with, the front, and how to export it.

    Args:
        study: which one.
        shown: its front, as far as it is shown.
        confirmation: of the front on unseen prompts, if any.
        storage: the study database, as the user names it.
    """
    front = study.front()
    counted = f"{len(study.evaluations)} schedules evaluated, {len(front)} on the front."
    confirm = code(f"ecad-automl confirm {_where(study, storage)}")
    parts = [
        f"# {code(study.name)}",
        f"{counted} Its trials have notes and pictures; plots stand on the first page of the study.",
        _setting(study),
        _prompts(study),
        "## What it is compared with",
        _calibration(study),
        "## Front",
        _front(study, shown, confirmation),
        "## Take it along",
        "The whole front as files with an index, or the best schedule that is at least twice as cheap:",
        _fenced(f"{_export(study, storage, '')}\n{_export(study, storage, '--speedup 2')}", "bash"),
        f"Score it again on prompts that the search never saw: {confirm}",
    ]
    return "\n\n".join(parts)


def _figures(study: StoredStudy, shown: Shown, macs: float) -> list[list[str]]:
    record, uncached = shown.record, study.uncached
    rows = [
        ["MACs of the transformer, GMACs per image", f"{record.gmacs:.2f} ({macs:.2f}x fewer)", f"{uncached.gmacs:.2f}"]
    ]
    if record.latency_ms is not None:
        rows.append(
            [
                "Time of the transformer, ms per image",
                f"{record.latency_ms:.3g} ({study.speedup(record):.2f}x as fast)",
                f"{study.cost.of(uncached):.3g}",
            ]
        )
    reward = code(str(study.identity["reward"])).replace("|", "\\|")
    rows.append([f"Reward {reward}", f"{record.reward:.4f}", f"{uncached.reward:.4f}"])
    rows.append(
        ["**Difference on the prompts searched with**", f"**{_interval(shown.difference, half_width(record))}**", ""]
    )
    verdict = shown.verdict
    if verdict is not None:
        found = _interval(verdict.difference.mean, verdict.difference.half)
        rows.append(["**Difference on unseen prompts**", f"**{found}**, {_survival(shown)}", ""])
    facts = shown.facts
    if facts.predicted_reward is not None and facts.predicted_std is not None:
        error = record.reward - facts.predicted_reward
        rows.append(
            [
                "Surrogate had predicted",
                f"{facts.predicted_reward:.4f} ± {1.645 * facts.predicted_std:.4f} (90 %); off by {error:+.4f}",
                "",
            ]
        )
    return rows


def _survival(shown: Shown) -> str:
    verdict = shown.verdict
    if verdict is None or verdict.beaten_by is None:
        return "survives"
    return f"beaten by {_cell(verdict.beaten_by.label)}"


def _origin(shown: Shown) -> str:
    facts = shown.facts
    said = [f"Trial {shown.number}"]
    if facts.generation is not None:
        said.append("a seed" if facts.generation == 0 else f"generation {facts.generation}")
    said.append(f"origin {code(shown.record.origin)}")
    if facts.operator is not None:
        said.append(f"bred by {code(facts.operator)}")
        said.append("chosen by the surrogate" if facts.filtered else "not filtered by the surrogate")
    return ", ".join(said) + "."


def _setting(study: StoredStudy) -> str:
    identity, generation = study.identity, study.identity["generation"]
    layout, seeds = study.layout, len(identity["seeds"])
    size = f"{generation['width']} x {generation['height']} px, guidance {generation['guidance_scale']:g}"
    rows = [
        ["Model", f"{_cell(identity['model'])}, revision {_cell(identity['revision'])}"],
        ["Transformer", f"{_cell(layout.transformer)}: {len(layout.blocks)} blocks, {len(layout)} slots"],
        ["Generation", f"{study.steps} steps of {_cell(identity['scheduler'])}, {size}, {_cell(identity['dtype'])}"],
        ["Maximized", f"reward {_cell(identity['reward'])}"],
        ["Minimized", f"{study.cost.name}, {plain(study.cost.unit)}"],
        ["Images per schedule", f"{len(identity['prompts'])} prompts x {seeds} seed{'s' * (seeds != 1)}"],
    ]
    if "constraints" in identity:
        rows.append(["Constraints", ", ".join(map(_cell, identity["constraints"]))])
    return _table(["", ""], rows)


def _prompts(study: StoredStudy) -> str:
    prompts = [str(prompt) for prompt in study.identity["prompts"]]
    shown = [f"- {code(_short(prompt, 160))}" for prompt in prompts[:_PROMPTS]]
    more = len(prompts) - len(shown)
    return "\n".join(["Prompts:", "", *shown, *([f"- and {more} more"] if more > 0 else [])])


def _calibration(study: StoredStudy) -> str:
    uncached = study.uncached
    runs = sorted(study.baselines.values(), key=study.cost.of, reverse=True)
    rows = [[_run_name(study, run), *_row(study, run)] for run in runs]
    shorter = [record.reward for record in study.baselines.values()]
    floor = worst_of_interest(uncached.reward, shorter, min(study.evaluations, key=study.cost.of).reward)
    return (
        _table(["run", *_headings(study)], rows)
        + f"\n\nHypervolume is measured from a reward of {floor:.4f} at the cost of the uncached run, and is 1 for the "
        f"uncached reward ({uncached.reward:.4f}) at no cost. Differences are paired means with 95 % intervals over "
        "prompts."
    )


def _front(study: StoredStudy, shown: Sequence[Shown], confirmation: Confirmation | None) -> str:
    headings = ["trial", "origin", *_headings(study)]
    step = max(1, -(-len(shown) // _ROWS))
    rows = []
    for each in shown[::step]:
        row = [str(each.number), _cell(each.record.origin), *_row(study, each.record)]
        if confirmation is not None:
            verdict = each.verdict
            row.append(
                ""
                if verdict is None
                else f"{_interval(verdict.difference.mean, verdict.difference.half)}, {_survival(each)}"
            )
        rows.append(row)
    if confirmation is not None:
        headings.append("on unseen prompts")
    total = len(study.front())
    left = f"\n\n{len(rows)} of {total} schedules; `ecad-automl front` lists all." if len(rows) < total else ""
    return _table(headings, rows) + left


def _headings(study: StoredStudy) -> list[str]:
    return [*(["speedup (time)"] if study.cost.name == "latency" else []), "speedup (MACs)", "reward", "difference"]


def _row(study: StoredStudy, record: EvaluationRecord | BaselineRecord) -> list[str]:
    timed = [f"{study.speedup(record):.2f}x"] if study.cost.name == "latency" else []
    difference = "" if record is study.uncached else _interval(0.0 - record.reward_drop, half_width(record))
    return [*timed, f"{study.uncached.gmacs / record.gmacs:.2f}x", f"{record.reward:.4f}", difference]


def _run_name(study: StoredStudy, run: BaselineRecord) -> str:
    return f"uncached, {run.steps} steps" if run is study.uncached else plain(run.name)


def _savings(study: StoredStudy, record: EvaluationRecord) -> str:
    macs = f"{study.uncached.gmacs / record.gmacs:.2f}x fewer MACs"
    return macs if study.cost.name == "MACs" else f"{study.speedup(record):.2f}x as fast, {macs}"


def _where(study: StoredStudy, storage: str) -> str:
    return f"--storage {shlex.quote(shown_location(storage))} --study {shlex.quote(study.name)}"


def _export(study: StoredStudy, storage: str, choice: str) -> str:
    first = f"ecad-automl export --storage {shlex.quote(shown_location(storage))}"
    rest = " ".join([f"--study {shlex.quote(study.name)}", *([choice] if choice else []), f"--out {_FOLDER}"])
    # A line that is longer than the page would push the whole page aside.
    return f"{first} {rest}" if len(first) + len(rest) < _LINE else f"{first} \\\n  {rest}"


def _apply(study: StoredStudy, record: EvaluationRecord) -> str:
    """The file is named as ``ecad-automl export`` names it."""
    path = f"{_FOLDER}/{file_name_of(study.name)}-{study.speedup(record):.2f}x-trial{record.trial}.json"
    prompt = next((text for text in map(str, study.identity["prompts"]) if len(text) <= _PROMPT), PROMPT)
    return study_snippet(study, path, prompt)


def _fenced(text: str, language: str) -> str:
    """A block of code in a fence longer than any run of backticks in it."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"


def _cell(text: object) -> str:
    return code(_short(str(text), 120)).replace("|", "\\|")


def _short(text: str, length: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[: length - 1]}…"


def _interval(mean: float, half: float | None) -> str:
    return f"{mean:+.4f}" + ("" if half is None else f" ± {half:.4f}")


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = table([f"{text}{_GAP}" for text in headings], [[f"{text}{_GAP}" for text in row] for row in rows])
    heading, rule, *rest = lines.splitlines()
    return "\n".join([heading, rule.replace("---", ":---"), *rest])  # headings as their columns, to the left
