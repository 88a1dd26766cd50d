"""The report as Markdown, with its charts as PNG files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ecad_automl.sharing.markdown import fenced, table
from ecad_automl.views.plots import (
    image_grid,
    plot_confirmation,
    plot_front,
    plot_heatmap,
    plot_hypervolume,
    plot_shares,
    plot_surrogate,
)
from ecad_automl.views.report.data import Images, Report
from ecad_automl.views.run import RunView
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
    confirmed, chosen = study.confirmed, _first(study)
    parts = [
        f"# {_plain(study.name)}: caching schedules",
        *([] if study.recommended is None else [f"**Recommended:** {_plain(str(study.recommended))}."]),
        table(
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
            fenced(python_snippet(study, exported_file(study, chosen), chosen.steps), "python"),
        ]
    if "schedule" in pictures:
        parts.append(_picture(f"What trial {chosen.trial} computes.", pictures["schedule"]))
    versions = ", ".join(f"{package} {version}" for package, version in report.versions.items())
    parts.append(f"Made by ecad-automl, {_plain(report.made)} ({_plain(versions)}).")
    return "\n\n".join(parts) + "\n"


def _first(study: StudyView) -> RunView:
    """The schedule to look at first."""
    return study.front[0] if study.recommended is None else study.recommended.run


def _front_table(study: StudyView) -> str:
    heads = list(study.figures(study.uncached, unseen=True))
    rules = ["---" if head in ("origin", "on unseen prompts") else "---:" for head in heads]
    runs = (*study.front, *study.heuristics, *study.shorter, study.uncached)
    return table(heads, [list(map(_plain, study.figures(run, unseen=True).values())) for run in runs], rules)


def _picture(caption: str, path: str) -> str:
    return f"![{caption}](<{path}>)\n\n{caption}"


def _plain(text: str) -> str:
    """A text of the study, so that it is shown as it is."""
    return text.translate(_SPECIAL)


def write_pictures(report: Report, folder: Path) -> dict[str, Path]:
    """Draw what there is to draw into a folder, which is made where it does not exist.

    Returns:
        Files by what they show: ``front``, ``confirmed``, ``hypervolume``, ``surrogate``, ``shares``, ``schedule``,
        ``images``; without those that there is nothing to show in.

    Raises:
        EcadError: a file cannot be written.
    """
    study, paths = report.study, {}

    def path(name: str) -> Path:
        paths[name] = folder / f"{name}.png"
        return paths[name]

    plot_front(path("front"), study)
    if study.confirmed is not None and study.confirmed.front:
        plot_confirmation(path("confirmed"), study, study.confirmed)
    chosen = _first(study)
    name = chosen.origin if chosen.trial is None else f"trial {chosen.trial}"
    plot_heatmap(path("schedule"), study.schedule(chosen), title=f"{study.name}, {name}: {chosen.speedup:.2f}x")
    plot_shares(path("shares"), study)
    if report.images is not None:
        _images(path("images"), study, report.images)
    plot_hypervolume(path("hypervolume"), study)
    if any(generation.rank_correlation is not None for generation in study.generations):
        plot_surrogate(path("surrogate"), study)
    return paths


def _images(path: Path, study: StudyView, images: Images) -> None:
    columns = {"uncached": images.uncached}
    for run in study.front:
        if run.genome is not None and run.genome in images.schedules:
            name = f"{run.speedup:.2f}x\n{run.origin if run.trial is None else run.trial}"
            columns[name] = images.schedules[run.genome]
    image_grid(path, columns, images.prompts)
