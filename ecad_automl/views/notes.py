"""Notes for the dashboard: a schedule, and a study, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ecad_automl.sharing.markdown import code, fenced, table
from ecad_automl.views.run import Confirmed, RunView
from ecad_automl.views.study import StudyView, study_facts
from ecad_automl.views.usage import FOLDER, command, export_command, exported_file, python_snippet

_PROMPTS = 6
_ROWS = 24
#: Between the columns of tables, to which the dashboard gives no room.
_GAP = "\u2003"


def schedule_note(study: StudyView, run: RunView, pictures: Mapping[str, str]) -> str:
    """What a schedule that has a trial saves and loses, where it came from, and how to export and apply it.

    Pictures are given by their addresses, with what they show, for those who do not see them.
    """
    chosen = study.recommended
    lines = [
        f"## {run.savings}, reward {run.difference:+.4f} to uncached",
        "",
        *([f"**Recommended:** {chosen.words}.", ""] if chosen is not None and chosen.run is run else []),
        _table(["", "this schedule", "uncached"], _figures(study, run)),
        "",
        _origin(run),
        "",
        "Export it:",
        "",
        fenced(export_command(study, run.trial), "bash"),
        "",
        "Apply it:",
        "",
        fenced(python_snippet(study, exported_file(study, run), run.steps), "python"),
        *(f"\n![{shown}]({address})" for address, shown in pictures.items()),
    ]
    return "\n".join(lines)


def study_note(study: StudyView, shown: Sequence[RunView]) -> str:
    """What was searched with, what everything is compared with, the front as far as it is shown, and its export."""
    counted = f"{len(study.runs)} schedules evaluated, {len(study.front)} on the front."
    export = [command(study, "export", f"{choice}--out {FOLDER}") for choice in ("--front ", "--speedup 2 ")]
    parts = [
        f"# {code(study.name)}",
        f"{counted} Its trials have notes and pictures; plots stand on the first page of the study.",
        *([] if study.recommended is None else [f"**Recommended:** {_cell(study.recommended)}."]),
        _table(
            ["", ""], [[label, ", ".join(map(_cell, text.split("\n")))] for label, text in study_facts(study).items()]
        ),
        _prompts(study),
        "## What it is compared with",
        _calibration(study),
        "## Front",
        _front(study, shown),
        "## Take it along",
        "The whole front as files with an index, or the best schedule that is at least twice as cheap:",
        fenced("\n".join(export), "bash"),
        "Score it again on prompts that the search never saw:",
        fenced(command(study, "confirm"), "bash"),
    ]
    return "\n\n".join(parts)


def _figures(study: StudyView, run: RunView) -> list[list[str]]:
    uncached = study.uncached
    done = ["Steps", str(run.outline), str(uncached.outline)]
    macs = f"{run.gmacs:.2f} ({run.mac_speedup:.2f}x fewer)"
    rows = [done, ["MACs of the transformer, GMACs per image", macs, f"{uncached.gmacs:.2f}"]]
    if run.latency_ms is not None:
        time = f"{run.latency_ms:.3g} ({run.speedup:.2f}x as fast)"
        rows.append(["Time of the transformer, ms per image", time, f"{uncached.cost:.3g}"])
    rows.append([f"Reward {_cell(study.reward_name)}", f"{run.reward:.4f}", f"{uncached.reward:.4f}"])
    rows.append(["**Difference on the prompts searched with**", f"**{run.difference_text}**", ""])
    if run.confirmed is not None:
        found = f"**{run.confirmed.difference_text}**, {_verdict(run.confirmed)}"
        rows.append(["**Difference on unseen prompts**", found, ""])
    if run.predicted_reward is not None and run.predicted_std is not None:
        predicted = f"{run.predicted_reward:.4f} ± {1.645 * run.predicted_std:.4f} (90 %)"
        rows.append(["Surrogate had predicted", f"{predicted}; off by {run.reward - run.predicted_reward:+.4f}", ""])
    return rows


def _verdict(found: Confirmed) -> str:
    return "survives" if found.survives else f"beaten by {_cell(found.beaten_by)}"


def _origin(run: RunView) -> str:
    said = [f"Trial {run.trial}"]
    if run.generation is not None:
        said.append("a seed" if run.generation == 0 else f"generation {run.generation}")
    said.append(f"origin {code(run.origin)}")
    if run.operator is not None:
        said.append(f"bred by {code(run.operator)}")
        said.append("chosen by the surrogate" if run.filtered else "not filtered by the surrogate")
    return ", ".join(said) + "."


def _prompts(study: StudyView) -> str:
    shown = [f"- {code(_short(prompt, 160))}" for prompt in study.prompts[:_PROMPTS]]
    more = len(study.prompts) - len(shown)
    return "\n".join(["Prompts:", "", *shown, *([f"- and {more} more"] if more > 0 else [])])


def _calibration(study: StudyView) -> str:
    return (
        _runs(study, [study.uncached, *reversed(study.searched_shorter)])
        + f"\n\nHypervolume is measured from a reward of {study.floor:.4f} at the cost of the uncached run, and is 1 "
        f"for the uncached reward ({study.uncached.reward:.4f}) at no cost. Differences are paired means with 95 % "
        "intervals over prompts."
    )


def _front(study: StudyView, shown: Sequence[RunView]) -> str:
    listed, total = shown[:: max(1, -(-len(shown) // _ROWS))], len(study.front)
    left = f"\n\n{len(listed)} of {total} schedules; `ecad-automl front` lists all." if len(listed) < total else ""
    return _runs(study, listed) + left


def _runs(study: StudyView, runs: Sequence[RunView]) -> str:
    rows = []
    for run in runs:
        figures = {**study.figures(run, unseen=True), "origin": _cell(run.origin)}
        if study.confirmed and (found := run.confirmed) is not None:
            figures["on unseen prompts"] = f"{found.difference_text}, {_verdict(found)}"
        rows.append(list(figures.values()))
    return _table(list(study.figures(study.uncached, unseen=True)), rows)


def _cell(text: object) -> str:
    return code(_short(str(text), 120)).replace("|", "\\|")


def _short(text: str, length: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[: length - 1]}…"


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    heading, *lines = ([f"{text}{_GAP}" for text in row] for row in (headings, *rows))
    return table(heading, lines, [":---"] * len(heading))  # headings as their columns, to the left
