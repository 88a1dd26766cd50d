"""Model cards written from measurements."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from ecad_automl.errors import FileError
from ecad_automl.files.json_file import write_text
from ecad_automl.hub import IndexEntry, entry_of, parse_reference
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.schedules.schedule_file import Measured, ScheduleFile, schedule_sha256
from ecad_automl.sharing.markdown import cell, code, plain, quote, table
from ecad_automl.sharing.snippet import PROMPT, apply_snippet, is_commit, literal

_LIBRARY = "ecad-automl"
#: The model card.
CARD = "README.md"

_SEAL = re.compile(r"<!-- written by ecad-automl, unchanged while this is its hash: ([0-9a-f]{64}) -->\n?\Z")


def schedule_card(file: ScheduleFile, source: str, license_name: str | None = None, *, prompt: str = PROMPT) -> str:
    """The card of one schedule: what it saves, what that costs, how to apply it, and what it was made for.

    Args:
        file: the schedule and its measurements; all text in these is shown as it is.
        source: what readers give ``apply_schedule``.
        license_name: for the front matter; nothing by default.
        prompt: of the image in its example.

    Returns:
        Markdown with YAML front matter.
    """
    schedule, meta = file.schedule, file.metadata
    title = plain(meta.name) if meta.name else f"Caching schedule for {plain(schedule.layout.transformer)}"
    parts = [
        _front_matter([file], license_name),
        f"# {title}\n\n{_opening(file)}",
        f"## What it saves\n\n{_savings(file)}",
        f"## What was measured\n\n{_measurements(meta.objectives, meta.survives)}",
        f"## Apply it\n\n{_application(file, source, prompt)}",
        f"## What it was made for\n\n{_origin(file)}",
        *([f"## Notes\n\n{quote(meta.notes)}"] if meta.notes else []),
    ]
    return "\n\n".join(parts) + "\n"


def collection_card(
    files: Mapping[str, ScheduleFile], source: str, license_name: str | None = None, *, prompt: str = PROMPT
) -> str:
    """The card of several schedules: all of them in one table.

    Args:
        files: schedules by the names of their files, at least one, as in the index.
        source: folder or repository that they lie in.
        license_name: for the front matter; nothing by default.
        prompt: of the image in its example.

    Returns:
        Markdown with YAML front matter.
    """
    first = next(iter(files.values()))
    entries = [entry_of(name, file) for name, file in files.items()]
    middle = list(files)[len(files) // 2]
    told = f"{source}/{middle}" if parse_reference(source) else str(PurePosixPath(source) / middle)
    model = f" for {_model(first)}" if first.metadata.model else ""
    opening = (
        "Each says in which denoising steps which components of the transformer "
        f"({code(first.schedule.layout.transformer)}) are computed, and in which their cached output is used again."
    )
    choice = f"Or choose by what it saves:\n\n{_fenced(_choice(source))}"
    parts = [
        _front_matter(list(files.values()), license_name),
        f"# {len(files)} caching schedules{model}\n\n{opening}",
        f"## The schedules\n\n{_list(entries)}",
        f"## Apply one\n\n{_application(files[middle], told, prompt)}\n\n{choice}",
        f"## What they were made for\n\n{_origin(first, alone=False)}",
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(files: Sequence[ScheduleFile], license_name: str | None) -> str:
    from huggingface_hub import ModelCardData

    models = {file.metadata.model: None for file in files if _on_hub(file)}
    transformers = {file.schedule.layout.transformer: None for file in files}
    data = ModelCardData(
        library_name=_LIBRARY,
        tags=[_LIBRARY, "diffusers", "caching", "diffusion-transformer", *transformers],
        base_model=list(models) or None,  # type: ignore[arg-type]  # none of them is None
        license=license_name,
    )
    return f"---\n{data.to_yaml()}\n---"


def _on_hub(file: ScheduleFile) -> bool:
    """A folder of the user may be called like a model of the hub; its revision is then a hash."""
    meta = file.metadata
    reference = parse_reference(meta.model or "")
    return (
        reference is not None
        and str(reference) == reference.repo
        and (meta.revision is None or is_commit(meta.revision))
    )


def _model(file: ScheduleFile) -> str:
    name = file.metadata.model or ""
    return f"[{code(name)}](https://huggingface.co/{name})" if _on_hub(file) else code(name)


def _opening(file: ScheduleFile) -> str:
    schedule = file.schedule
    on = f" of {_model(file)}" if file.metadata.model else ""
    fewer = f": {schedule.mac_speedup:.2f} times fewer multiply-accumulates (MACs)" if schedule.layout.step_macs else ""
    return (
        f"A caching schedule for the transformer{on} ({code(schedule.layout.transformer)}) in {schedule.steps} "
        f"denoising steps. It computes {schedule.effective.mean():.0%} of the transformer's components and takes the "
        f"others from a cache{fewer}.{_beyond_reuse(schedule)}"
    )


def _beyond_reuse(schedule: Schedule) -> str:
    skipped = (
        f" {int(schedule.skip.sum())} of the steps do not run the transformer at all." if schedule.skip.any() else ""
    )
    if not schedule.forecast.any():
        return skipped
    return (
        f"{skipped} {schedule.forecast_share:.0%} of what it takes is forecast from the last two outputs; the weights "
        "are in the file."
    )


def _savings(file: ScheduleFile) -> str:
    schedule, layout = file.schedule, file.schedule.layout
    full = file.uncached_steps * layout.step_macs
    shares = [
        [cell(component), f"{schedule.effective[:, layout.component_index == index].mean():.0%}"]
        for index, component in enumerate(layout.components)
    ]
    counted = (
        f"{schedule.gmacs:.4g} GMACs for an image in place of {full / 1e9:.4g}."
        if full
        else "MACs of the transformer were not counted; all components count alike."
    )
    return f"{counted}\n\n{table(['component', 'computed'], shares)}"


def _measurements(objectives: Mapping[str, Measured], survives: bool | None) -> str:
    if not objectives:
        return "Nothing was measured under this schedule."
    rows = [
        [cell(name), f"{measured.value:.5g}{_unit(measured)}", _interval(measured), _count(measured)]
        for name, measured in objectives.items()
    ]
    said = [table(["figure", "value", "interval", "samples"], rows)]
    if "reward_difference" in objectives:
        said.append(
            "`reward_difference` is the mean difference to the uncached run on the same prompts and noise. Schedules "
            "are chosen by the figures of the search, so these flatter them."
        )
    if any(name.startswith("confirmed") for name in objectives):
        said.append("Figures that begin with `confirmed` are of prompts and seeds that the search never saw.")
    if survives is not None:
        said.append(
            "On these the schedule stayed on the front."
            if survives
            else "**On these another schedule, or what it is compared with, was better at no higher cost.**"
        )
    if "latency_speedup" in objectives:
        said.append("Latencies are what the study's model of its device predicts.")
    return "\n\n".join(said)


def _application(file: ScheduleFile, source: str, prompt: str) -> str:
    return f"`pip install ecad-automl`, then:\n\n{_fenced(apply_snippet(file, source, prompt))}"


def _choice(source: str) -> str:
    return (
        "from ecad_automl.sharing import load_index\n\n"
        f"index = load_index({literal(source)})\n"
        "schedule = index.load(index.by_speedup(2)).schedule\n"
    )


def _fenced(program: str) -> str:
    return f"```python\n{program}```"


def _origin(file: ScheduleFile, *, alone: bool = True) -> str:
    meta = file.metadata
    size = None if meta.height is None or meta.width is None else f"{meta.height} x {meta.width}"
    told: dict[str, object] = {
        "reward": meta.reward,
        "model": meta.model,
        "revision": meta.revision,
        "transformer": file.schedule.layout.transformer,
        "denoising steps": file.schedule.steps,
        "scheduler": meta.scheduler,
        "height x width": size,
        "guidance scale": meta.guidance_scale,
        "dtype": meta.dtype,
        "study": meta.study,
    }
    if alone:
        told |= {
            "trial": meta.trial,
            "found as": meta.origin,
            "made": meta.created,
            "sha256": schedule_sha256(file.schedule),
        }
    told |= {f"version of {name}": version for name, version in meta.versions.items()}
    return table(
        ["setting", "value"], [[plain(name), cell(str(value))] for name, value in told.items() if value is not None]
    )


def _list(entries: Sequence[IndexEntry]) -> str:
    confirmed = any(entry.confirmed_reward_difference is not None for entry in entries)
    by_latency = any(entry.speedup_of == "latency" for entry in entries)
    heading = [
        "file",
        "fewer MACs",
        *(["predicted speedup"] if by_latency else []),
        "GMACs",
        "reward, difference to uncached",
    ]
    rows = [
        [
            cell(entry.file),
            f"{entry.mac_speedup:.2f}x",
            *([f"{entry.speedup:.2f}x" if entry.speedup_of == "latency" else ""] if by_latency else []),
            f"{entry.gmacs:.4g}",
            _difference(entry.reward_difference),
            *([_difference(entry.confirmed_reward_difference), _survival(entry)] if confirmed else []),
        ]
        for entry in entries
    ]
    shown = table([*heading, *(["confirmed", "survives"] if confirmed else [])], rows)
    flatter = "Schedules are chosen by the figures of the search, so these flatter them."
    unseen = " Confirmed figures are of prompts and seeds that the search never saw." if confirmed else ""
    return f"{shown}\n\n{flatter}{unseen}"


def _difference(measured: Measured | None) -> str:
    if measured is None:
        return ""
    interval = _interval(measured)
    return f"{measured.value:+.4f}" + (f" ({interval})" if interval else "")


def _survival(entry: IndexEntry) -> str:
    return "" if entry.survives is None else "yes" if entry.survives else "no"


def _interval(measured: Measured) -> str:
    if measured.low is None or measured.high is None:
        return ""
    level = "" if measured.confidence is None else f" at {measured.confidence * 100:.3g} %"
    return f"{measured.low:.4g} to {measured.high:.4g}{level}"


def _count(measured: Measured) -> str:
    return "" if measured.samples is None else str(measured.samples)


def _unit(measured: Measured) -> str:
    return "" if measured.unit is None else f" {cell(measured.unit)}"


def sealed(text: str) -> str:
    """A card with the hash of its text in a last line that readers do not see."""
    text = f"{text}\n"
    return f"{text}<!-- written by ecad-automl, unchanged while this is its hash: {_digest(text)} -->\n"


def replaceable(text: str) -> bool:
    """Whether a card is as :func:`sealed` made it, so that nobody's words are lost with it."""
    text = text.replace("\r\n", "\n")
    seal = _SEAL.search(text)
    return seal is not None and seal[1] == _digest(text[: seal.start()])


def check_card(folder: Path, replace: bool | None) -> None:
    """See to it that :func:`write_card` would not replace what a person wrote.

    Args:
        folder: where the card is to be.
        replace: True replaces any card.

    Raises:
        FileError: there is a card of other origin, and ``replace`` is not True.
    """
    path = folder / CARD
    if replace or not path.is_file():
        return
    try:
        old = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise FileError(f"{path} cannot be read ({error.strerror}); check its permissions.") from error
    if not replaceable(old):
        raise FileError(
            f"{path} was written or edited by a person; move it away, or leave the card out (in Python card=False, "
            "or card=True to replace it)."
        )


def write_card(folder: Path, text: str, replace: bool | None) -> None:
    """Write a card.

    Raises:
        FileError: see :func:`check_card`, or the file cannot be written.
    """
    check_card(folder, replace)
    write_text(folder / CARD, sealed(text), "model card")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
