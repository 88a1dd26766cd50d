"""The report as Markdown, for a paper or a model card."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from ecad_automl.sharing.markdown import fenced
from ecad_automl.views.report.data import Report, usual_choice
from ecad_automl.views.run import Confirmed, RunView
from ecad_automl.views.study import StudyView, study_facts
from ecad_automl.views.usage import export_command, exported_file, python_snippet

#: In this order, under these headings.
_PICTURES = {
    "front": ("Front", "Reward against cost, in the search."),
    "confirmed": ("On unseen prompts", "Differences to the uncached run, with 95 % intervals over prompts."),
    "images": ("Images", "The same prompts and noise, uncached and under schedules of the front."),
    "shares": ("Where the front computes", "Share that is computed and not reused."),
    "hypervolume": ("How the search went", "Hypervolume; 1 is a schedule with the uncached reward at no cost."),
    "surrogate": ("Accuracy of the surrogate", "Out of sample; 90 % of the rewards should lie in the intervals."),
}

# With these, a text could be read as markup, or end a cell of a table.
_SPECIAL = str.maketrans({character: f"\\{character}" for character in "\\`*_[]<>|#&!~$"} | {"\n": " ", "\r": " "})


def markdown_text(report: Report, pictures: Mapping[str, str]) -> str:
    """The whole text, with the paths of its pictures by what they show, as ``write_pictures`` names that."""
    study = report.study
    confirmed, chosen = study.confirmed, usual_choice(study.front)
    parts = [
        f"# {_plain(study.name)}: caching schedules",
        _table(
            ("", ""), [(_plain(label), _plain(text.replace("\n", ", "))) for label, text in study_facts(study).items()]
        ),
    ]
    for name, (heading, caption) in _PICTURES.items():
        if name in pictures:
            parts += [f"## {heading}", _picture(caption, pictures[name])]
        if name == "confirmed" and confirmed is not None:
            parts.append("\n".join(f"- {_plain(sentence)}" for sentence in confirmed.sentences))
        if name == "images" and report.images is not None:
            parts.append(_plain(report.images.source))
    parts += ["## Schedules", _front_table(study)]
    parts.append(
        "Differences to the uncached run are paired means with 95 % intervals over prompts."
        + (f" Confirmed: on {confirmed.prompts} prompts that the search never saw." if confirmed else "")
    )
    if chosen.trial is not None:
        parts += [
            "## How to apply one",
            f"Trial {chosen.trial}, {chosen.speedup:.2f}x:",
            fenced(export_command(study, chosen.trial), "sh"),
            fenced(python_snippet(study, exported_file(study, chosen)), "python"),
        ]
    if "schedule" in pictures:
        parts.append(_picture(f"What trial {chosen.trial} computes.", pictures["schedule"]))
    versions = ", ".join(f"{package} {version}" for package, version in report.versions.items())
    parts.append(f"Made by ecad-automl, {_plain(report.made)} ({_plain(versions)}).")
    return "\n\n".join(parts) + "\n"


def _front_table(study: StudyView) -> str:
    heads = ["schedule", "origin", "speedup in time" if study.timed else "speedup in MACs"]
    heads += ["ms per image"] if study.timed else []
    heads += ["GMACs per image", "difference in the search"]
    heads += ["difference, confirmed", "survives"] if study.confirmed else []

    def row(name: str, origin: str, run: RunView) -> list[str]:
        cells = [_plain(name), _plain(origin), f"{run.speedup:.2f}x"]
        cells += [f"{run.cost:.4g}"] if study.timed else []
        cells += [f"{run.gmacs:.4g}", run.difference_text]
        return cells + (_confirmed_cells(run.confirmed) if study.confirmed else [])

    rows = [
        row("" if run.trial is None else f"trial {run.trial}", run.origin, run)
        for run in (*study.front, *study.heuristics)
    ]
    rows += [row(run.origin, "uncached", run) for run in study.shorter]
    return _table(heads, rows, {"schedule", "origin", "survives"})


def _confirmed_cells(confirmed: Confirmed | None) -> list[str]:
    if confirmed is None:
        return ["", ""]
    return [confirmed.difference_text, _plain("yes" if confirmed.survives else f"no: {confirmed.beaten_by}")]


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], texts: Collection[str] = ("",)) -> str:
    """A table; columns whose heading is not among those of texts are aligned to the right."""
    rules = ["---" if head in texts else "---:" for head in heads]
    return "\n".join(f"| {' | '.join(row)} |" for row in (heads, rules, *rows))


def _picture(caption: str, path: str) -> str:
    return f"![{caption}](<{path}>)\n\n{caption}"


def _plain(text: str) -> str:
    """A text of the study, so that it is shown as it is."""
    return text.translate(_SPECIAL)
