"""The report as Markdown, for a paper or a model card."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from ecad_automl.views.report.choice import usual_choice
from ecad_automl.views.report.data import Confirmed, Kind, ReportData, ScheduleFigures, StepsRun

__all__ = ["markdown_text"]

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


def markdown_text(data: ReportData, pictures: Mapping[str, str]) -> str:
    """The whole text.

    Args:
        data: of the report.
        pictures: paths of the pictures, relative to the Markdown file, by what they show, see
            :func:`~ecad_automl.views.report.pictures.write_pictures`.
    """
    chosen = usual_choice(data)
    parts = [
        f"# {_plain(data.name)}: caching schedules",
        _table(("", ""), [(_plain(label), _plain(text.replace("\n", ", "))) for label, text in data.facts.items()]),
    ]
    for name, (heading, caption) in _PICTURES.items():
        if name in pictures:
            parts += [f"## {heading}", _picture(caption, pictures[name])]
        if name == "confirmed" and data.confirmed is not None:
            parts.append("\n".join(f"- {_plain(sentence)}" for sentence in data.confirmed.sentences))
        if name == "images" and data.images is not None:
            parts.append(_plain(data.images.source))
    parts += ["## Schedules", _front_table(data)]
    parts.append(
        "Differences to the uncached run are paired means with 95 % intervals over prompts."
        + (f" Confirmed: on {data.confirmed.prompts} prompts that the search never saw." if data.confirmed else "")
    )
    if chosen.trial is not None:
        parts += [
            "## How to apply one",
            f"Trial {chosen.trial}, {data.speedup(chosen):.2f}x:",
            _fenced("sh", data.export_command(chosen)),
            _fenced("python", data.snippet(chosen)),
        ]
    if "schedule" in pictures:
        parts.append(_picture(f"What trial {chosen.trial} computes.", pictures["schedule"]))
    versions = ", ".join(f"{package} {version}" for package, version in data.versions.items())
    parts.append(f"Made by ecad-automl, {_plain(data.made)} ({_plain(versions)}).")
    return "\n\n".join(parts) + "\n"


def _front_table(data: ReportData) -> str:
    timed = data.cost_name == "latency"
    heads = ["schedule", "origin", "speedup in time" if timed else "speedup in MACs"]
    heads += ["ms per image"] if timed else []
    heads += ["GMACs per image", "difference in the search"]
    heads += ["difference, confirmed", "survives"] if data.confirmed else []

    def row(name: str, origin: str, run: ScheduleFigures | StepsRun) -> list[str]:
        cells = [_plain(name), _plain(origin), f"{data.speedup(run):.2f}x"]
        cells += [f"{run.cost:.4g}"] if timed else []
        cells += [f"{run.gmacs:.4g}", _interval(run.difference, run.half)]
        return cells + (_confirmed_cells(run.confirmed) if data.confirmed else [])

    heuristics = (schedule for schedule in data.schedules if schedule.kind is Kind.HEURISTIC)
    rows = [row(_name(schedule), schedule.origin, schedule) for schedule in (*data.front, *heuristics)]
    rows += [row(run.name, "uncached", run) for run in data.runs]
    return _table(heads, rows, {"schedule", "origin", "survives"})


def _name(schedule: ScheduleFigures) -> str:
    return "" if schedule.trial is None else f"trial {schedule.trial}"


def _confirmed_cells(confirmed: Confirmed | None) -> list[str]:
    if confirmed is None:
        return ["", ""]
    verdict = "yes" if confirmed.survives else f"no: {confirmed.beaten_by}"
    return [_interval(confirmed.difference, confirmed.half), _plain(verdict)]


def _interval(value: float | None, half: float | None) -> str:
    if value is None:
        return ""
    return f"{value:+.4f}" if half is None else f"{value:+.4f} ± {half:.4f}"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], texts: Collection[str] = ("",)) -> str:
    """A table; columns whose heading is not among those of texts are aligned to the right."""
    rules = ["---" if head in texts else "---:" for head in heads]
    return "\n".join(f"| {' | '.join(row)} |" for row in (heads, rules, *rows))


def _picture(caption: str, path: str) -> str:
    return f"![{caption}](<{path}>)\n\n{caption}"


def _fenced(language: str, text: str) -> str:
    return f"```{language}\n{text}\n```"


def _plain(text: str) -> str:
    """A text of the study, so that it is shown as it is."""
    return text.translate(_SPECIAL)
