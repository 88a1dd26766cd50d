"""What a measured schedule needs to stand in the gallery of this project, and the text that asks for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ecad_automl.bundled import BUNDLED
from ecad_automl.hub import parse_reference
from ecad_automl.schedules.schedule_file import Measured, ScheduleFile
from ecad_automl.sharing.markdown import cell, plain, table
from ecad_automl.sharing.snippet import is_commit

#: Where measured schedules lie in the project, each model's in a folder of its own.
FOLDER = "ecad_automl/gallery/measured"
_BOXES = """To be filled in by whoever sends this:

- [ ] I looked at images under each schedule beside uncached ones.
- [ ] The prompts of the confirmation are named above, or are attached.
- [ ] Hardware, and how long the search took:
- [ ] The files may be distributed under Apache-2.0."""
#: Images on unseen prompts, below which an interval says little.
FEWEST_IMAGES = 24


def lacks(file: ScheduleFile) -> list[str]:
    """What a schedule file lacks to stand in the gallery, in phrases with what to do; empty where nothing is.

    Args:
        file: the schedule with what was measured under it.
    """
    meta = file.metadata
    found = []
    if meta.model not in BUNDLED and not (parse_reference(meta.model or "") and is_commit(meta.revision)):
        found.append(
            f"its model is {meta.model!r} of revision {meta.revision!r}, which others cannot load; search a model of "
            "the hub by its id"
        )
    told = ("revision", "scheduler", "dtype", "reward", "study", "origin", "created")
    missing = [name for name in told if getattr(meta, name) is None]
    missing += [name for name in ("call", "versions") if not getattr(meta, name)]
    if missing:
        found.append(f"it does not tell {', '.join(missing)}; export it from its study anew")
    unseen = meta.objectives.get("confirmed_reward_difference")
    if unseen is None or unseen.low is None or (unseen.samples or 0) < FEWEST_IMAGES:
        images = 0 if unseen is None else unseen.samples or 0
        found.append(
            f"it was scored on {images} images of unseen prompts, and {FEWEST_IMAGES} at least are needed; run "
            "`ecad-automl confirm`"
        )
    elif not meta.survives:
        found.append("another run of at most its cost is better on unseen prompts; leave it out")
    return found


def folder_of(model: str) -> str:
    """The folder of a model's schedules, relative to the project."""
    return f"{FOLDER}/{model.rpartition('/')[2].lower()}"


def pull_request(
    files: Mapping[str, ScheduleFile], shorter: Sequence[tuple[str, float, Measured]], asked: Mapping[str, str]
) -> str:
    """The text of a pull request that adds schedules of one study to the gallery.

    Args:
        files: by their paths, relative to the project, none of which :func:`lacks` anything.
        shorter: uncached runs of fewer steps on the same unseen prompts: name, how many times fewer MACs, and the
            difference of the reward to the uncached run.
        asked: of the study, by what it is called: what it was searched and confirmed with.

    Returns:
        Markdown; its first line is the title.
    """
    first = next(iter(files.values())).metadata
    rows = [
        [cell(path), str(file.schedule.steps), f"{file.mac_speedup:.2f}x", _difference(file.metadata.objectives)]
        for path, file in files.items()
    ]
    rows += [[plain(name), "", f"{speedup:.2f}x", _text(difference)] for name, speedup, difference in shorter]
    head = ["schedule", "steps", "fewer MACs", f"{plain(first.reward or '')}, to uncached, on unseen prompts (95 %)"]
    about = {
        "model": first.model,
        "revision": first.revision,
        "scheduler": first.scheduler,
        "dtype": first.dtype,
        "call": ", ".join(f"{name}={value}" for name, value in first.call.items()),
        **asked,
        **{f"version of {name}": version for name, version in first.versions.items()},
    }
    parts = [
        f"Measured schedules for {plain(first.model or '')}",
        table(head, rows),
        "Uncached runs of fewer steps stand below, on the same prompts and noise.",
        table(["measured with", ""], [[plain(name), cell(str(value))] for name, value in about.items()]),
        _BOXES,
    ]
    return "\n\n".join(parts) + "\n"


def _difference(objectives: Mapping[str, Measured]) -> str:
    return _text(objectives["confirmed_reward_difference"])


def _text(measured: Measured) -> str:
    interval = "" if measured.low is None else f" ({measured.low:+.4f} to {measured.high:+.4f})"
    return f"{measured.value:+.4f}{interval}"
