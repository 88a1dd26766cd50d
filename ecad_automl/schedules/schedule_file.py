"""Schedule files: JSON that carries a schedule with what it was found for and what was measured under it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, ValidationError

from ecad_automl.errors import FileError, ScheduleError
from ecad_automl.files.json_file import json_text, read_json_object, write_text
from ecad_automl.schedules._forecast_entries import (
    MAX_STEPS,
    digits,
    forecast_entries,
    guidance_entries,
    guidance_text,
    with_forecasts,
)
from ecad_automl.schedules.fitted import of_rows, rows_of
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Bits, Schedule

#: Of schedules that compute and reuse, and of those that skip steps or forecast outputs.
SCHEMA = "ecad-automl/schedule/1"
SCHEMA_2 = "ecad-automl/schedule/2"
#: Of those with fitted coefficients, which an earlier version would run without.
SCHEMA_3 = "ecad-automl/schedule/3"

#: Largest schedule file that is read: 2 MiB. One of 1,000 steps and 200 slots has 0.3 MiB.
MAX_SCHEDULE_BYTES = 2 * 2**20

# Far beyond any transformer; more would only keep the reader busy.
_MAX_SLOTS = 10_000

_PACKAGES = ("ecad-automl", "torch", "diffusers", "transformers", "numpy", "optuna", "lightgbm")
_WHAT = "schedule file"

_Argument = Annotated[str, StringConstraints(pattern="^[A-Za-z_][A-Za-z0-9_]*$")]


class Measured(BaseModel):
    """A measured figure.

    Attributes:
        value: the mean or the count itself.
        low: lower end of the confidence interval.
        high: upper end of the confidence interval.
        confidence: probability that the interval was made for, such as 0.95.
        samples: how many measurements the value is the mean of.
        unit: unit, such as ``GMAC`` or ``ms``; None for a bare score.
    """

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    value: float
    low: float | None = None
    high: float | None = None
    confidence: float | None = Field(default=None, gt=0, lt=1)
    samples: int | None = Field(default=None, ge=1)
    unit: str | None = None


class ScheduleMetadata(BaseModel):
    """What a schedule was found for and where it came from; fields that a later version adds are kept.

    Attributes:
        name: a name for people.
        model: hub id or folder of the model.
        revision: commit of the model on the hub.
        scheduler: class name of the diffusion scheduler.
        scheduler_config: the scheduler's settings that change its timesteps; see :func:`relevant_scheduler_config`.
        height: image height in pixels.
        width: image width in pixels.
        guidance_scale: classifier-free or distilled guidance.
        uncached_steps: steps of the run that it is compared with, where that has another number.
        call: arguments of the pipeline's call beside the prompt, as they were when the schedule was measured.
        dtype: dtype of the transformer, such as ``bfloat16``.
        reward: name of the reward that ``objectives`` tell of, such as ``fidelity``.
        objectives: measured figures by name, such as ``reward``, ``reward_drop``, ``gmacs``, ``latency_ms``; names
            that begin with ``confirmed`` are of prompts and seeds that the search never saw.
        survives: whether the schedule stayed on the front there; None where that was not tried.
        study: the study that found the schedule.
        trial: its number in the study.
        origin: how the study came to it, such as ``fora-3``, ``drift`` or ``bred``.
        versions: software versions; see :func:`software_versions`.
        created: when the file was made, ISO 8601.
        notes: anything a person wants to add.
    """

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    name: str | None = None
    model: str | None = None
    revision: str | None = None
    scheduler: str | None = None
    scheduler_config: dict[str, JsonValue] = Field(default_factory=dict)
    height: int | None = Field(default=None, ge=1)
    width: int | None = Field(default=None, ge=1)
    guidance_scale: float | None = None
    uncached_steps: int | None = Field(default=None, ge=1)
    call: dict[_Argument, JsonValue] = Field(default_factory=dict, json_schema_extra={"additionalProperties": False})
    dtype: str | None = None
    reward: str | None = None
    objectives: dict[str, Measured] = Field(default_factory=dict)
    survives: bool | None = None
    study: str | None = None
    trial: int | None = Field(default=None, ge=0)
    origin: str | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    created: str | None = None
    notes: str | None = None


@dataclass(frozen=True)
class ScheduleFile:
    """What a schedule file holds."""

    schedule: Schedule
    metadata: ScheduleMetadata

    @property
    def uncached_steps(self) -> int:
        """Steps of the run that it is compared with."""
        return self.metadata.uncached_steps or self.schedule.steps

    @property
    def mac_speedup(self) -> float:
        """How many times fewer MACs than that run."""
        return self.schedule.mac_speedup * self.uncached_steps / self.schedule.steps


def save_schedule(path: str | Path, schedule: Schedule, metadata: ScheduleMetadata | None = None) -> None:
    """Write a schedule file. The schedule's effect is kept, dead recomputes are not.

    Args:
        path: the file to make or replace.
        schedule: the schedule.
        metadata: what to keep beside it.

    Raises:
        FileError: the file cannot be written (an older one is then unchanged), or the metadata has no JSON form.
    """
    try:
        text = json_text(to_document(schedule, metadata))
    except (ValueError, TypeError) as error:  # pydantic's serialization error is a ValueError
        raise FileError(f"The metadata of the schedule for {path} has no JSON form: {error}.") from error
    write_text(path, text, _WHAT)


def load_schedule(path: str | Path) -> ScheduleFile:
    """Read what :func:`save_schedule` wrote.

    Raises:
        FileError: there is no such file, it is damaged, of another schema, larger than
            :data:`MAX_SCHEDULE_BYTES`, says two things of its bits, or has a hash of other bits.
    """
    return from_document(read_json_object(path, _WHAT, most_bytes=MAX_SCHEDULE_BYTES), str(path))


def to_document(schedule: Schedule, metadata: ScheduleMetadata | None = None) -> dict[str, Any]:
    """The content of a schedule file as a JSON-ready dictionary, the inverse of :func:`from_document`."""
    more: dict[str, Any] = {}
    fitted = schedule.fitted
    if not schedule.is_plain or fitted is not None:
        forecasts = [entry.model_dump(by_alias=True) for entry in forecast_entries(schedule)]
        more = {"skip": digits(schedule.skip), "forecasts": forecasts}
    if not schedule.guidance.is_full:
        more["guidance"] = guidance_text(schedule.guidance)
        more["guidance_forecasts"] = [entry.model_dump(by_alias=True) for entry in guidance_entries(schedule.guidance)]
    if fitted is not None:
        more["fitted"] = rows_of(fitted)
    return {
        "schema": SCHEMA_3 if fitted is not None else SCHEMA if schedule.is_plain else SCHEMA_2,
        "metadata": metadata.model_dump(mode="json", exclude_none=True, exclude_defaults=True) if metadata else {},
        "steps": schedule.steps,
        "sha256": schedule_sha256(schedule),
        "bits": schedule.to_hex(),
        "view": _view(schedule),
        **more,
        "layout": schedule.layout.to_dict(),
    }


def schedule_sha256(schedule: Schedule) -> str:
    """The hash that a schedule file carries; equal schedules have the same one, others have not.

    It is of the JSON text, without spaces and in ASCII, of a list of four: the class name of the transformer, the
    number of steps, a list of block, component and reader (or null) for each slot, and :meth:`Schedule.to_hex`. Where
    steps are skipped, outputs forecast or guidance branches left out, two more follow, as they are in the file: the
    skipped steps, and for each forecast a list of step, component, level, sources and weights; and in the last case two
    more: what is done about guidance, and for each forecast of a difference a list of step, level, sources and weights.
    Where coefficients are fitted, they come last, as they are in the file. It tells a damaged or changed file, not who
    made it.

    Returns:
        64 hexadecimal digits.
    """
    slots = [(slot.block, slot.component, slot.reader) for slot in schedule.layout.slots]
    effect: list[Any] = [schedule.layout.transformer, schedule.steps, slots, schedule.to_hex()]
    if not schedule.is_plain:
        effect += [digits(schedule.skip), [list(entry.model_dump().values()) for entry in forecast_entries(schedule)]]
    if not schedule.guidance.is_full:
        entries = [list(entry.model_dump().values()) for entry in guidance_entries(schedule.guidance)]
        effect += [guidance_text(schedule.guidance), entries]
    if schedule.fitted is not None:
        effect.append(rows_of(schedule.fitted))
    return hashlib.sha256(json.dumps(effect, separators=(",", ":")).encode("ascii")).hexdigest()


def from_document(data: Mapping[str, Any], source: str) -> ScheduleFile:
    """The schedule and metadata of a document.

    Args:
        data: what :func:`to_document` made.
        source: where it was found, for messages.

    Raises:
        FileError: see :func:`load_schedule`.
    """
    _check_schema(data, source)
    steps = data.get("steps")
    if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
        raise FileError(f"The schedule file {source} has {steps!r} for 'steps', but a whole number from 1 is needed.")
    try:
        layout = Layout.from_dict(data.get("layout", {}))
        schedule = _schedule(layout, steps, data.get("bits"), data.get("view"))
        if data["schema"] in (SCHEMA_2, SCHEMA_3):
            schedule = with_forecasts(
                schedule,
                *(data.get("skip"), data.get("forecasts", [])),
                *(data.get("guidance"), data.get("guidance_forecasts")),
            )
        if data["schema"] == SCHEMA_3:
            schedule = schedule.with_fitted(of_rows(data.get("fitted"), steps))
        _check_hash(schedule, data)
    except ScheduleError as error:
        raise FileError(f"The schedule file {source} is damaged: {error}") from error
    try:
        metadata = ScheduleMetadata.model_validate(data.get("metadata", {}), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(("metadata", *map(str, first["loc"])))
        raise FileError(
            f"The schedule file {source} has {first['input']!r:.60} for '{where}' ({first['msg']}); "
            "correct it or delete it."
        ) from error
    return ScheduleFile(schedule, metadata)


def relevant_scheduler_config(config: Mapping[str, Any]) -> dict[str, JsonValue]:
    """The part of a diffusion scheduler's configuration that a schedule depends on and that has a JSON form.

    Args:
        config: ``pipe.scheduler.config``.

    Returns:
        The settings in their order, without private ones, unset ones, and arrays.
    """
    return {key: value for key, value in config.items() if not key.startswith("_") and _is_setting(value)}


def software_versions() -> dict[str, str]:
    """Versions of the packages that change images or searches, of those that are installed; imports none of them."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _check_hash(schedule: Schedule, data: Mapping[str, Any]) -> None:
    """Files from before there was a hash have none."""
    if "sha256" not in data:
        return
    told, found = data["sha256"], schedule_sha256(schedule)
    if told != found:
        raise ScheduleError(
            f"it has {told!r:.80} for 'sha256', but its bits, slots and steps{_more(schedule)} have {found!r}; restore "
            "it from a copy, "
            "or delete 'sha256' where they were changed on purpose."
        )


def _check_schema(data: Mapping[str, Any], source: str) -> None:
    schema = data.get("schema")
    if schema in (SCHEMA, SCHEMA_2, SCHEMA_3):
        return
    if schema is None and ("cache_schedule" in data or "dit_schedule" in data):
        raise FileError(
            f"{source} is a schedule of the ECAD authors, but a schedule file of ecad-automl ({SCHEMA}) is needed; "
            f"convert it with `ecad-automl convert {source}`."
        )
    family = SCHEMA.rpartition("/")[0]
    if isinstance(schema, str) and schema.startswith(f"{family}/"):
        raise FileError(
            f"The schedule file {source} has the schema {schema!r}, but this version reads {SCHEMA!r} to "
            f"{SCHEMA_3!r}; upgrade ecad-automl or export the schedule again."
        )
    raise FileError(
        f"{source} has {schema!r} for 'schema', but a schedule file has {SCHEMA!r}; check that it is the right file."
    )


def _schedule(layout: Layout, steps: int, bits: object, view: object) -> Schedule:
    """Bits and view say the same; a file that a person edited may have only one of them."""
    if bits is None and view is None:
        raise ScheduleError("it has neither 'bits' nor 'view'; restore it from a copy or export it again.")
    if len(layout) > _MAX_SLOTS:
        raise ScheduleError(
            f"it has {len(layout)} slots, but at most {_MAX_SLOTS} are read; check that it is the right file."
        )
    view_bits = None if view is None else _bits_of_view(layout, steps, view)
    if steps > MAX_STEPS:
        raise ScheduleError(f"it has {steps} steps, but at most {MAX_STEPS} are read; check that it is the right file.")
    from_view = None if view_bits is None else Schedule(layout, view_bits)
    if bits is None:
        assert from_view is not None
        return from_view
    if not isinstance(bits, str):
        raise ScheduleError(f"it has {bits!r:.60} for 'bits', but hexadecimal digits in quotes are needed.")
    schedule = Schedule.from_genome(layout, steps, bits)
    if from_view is not None and schedule != from_view:
        step, slot = np.argwhere(schedule.effective != from_view.effective)[0]
        raise ScheduleError(
            f"'bits' and 'view' disagree, first at step {step} on {layout.slots[slot].name}; delete the wrong one."
        )
    return schedule


def _more(schedule: Schedule) -> str:
    return "" if schedule.is_plain else ", with what it skips and forecasts,"


def _view(schedule: Schedule) -> dict[str, list[str]]:
    """For each component one text per step, a digit per block that has it."""
    rows: dict[str, list[str]] = {}
    for index, component in enumerate(schedule.layout.components):
        slots = schedule.layout.component_index == index
        rows[component] = [digits(row) for row in schedule.effective[:, slots]]
    return rows


def _bits_of_view(layout: Layout, steps: int, view: object) -> Bits:
    if not isinstance(view, dict) or set(view) != set(layout.components):
        found = sorted(view) if isinstance(view, dict) else type(view).__name__
        raise ScheduleError(f"its 'view' has {found}, but needs the components {sorted(layout.components)}.")
    places = {name: np.flatnonzero(layout.component_index == index) for index, name in enumerate(layout.components)}
    digits = {name: _digits(name, len(columns), steps, view[name]) for name, columns in places.items()}
    bits = np.zeros((steps, len(layout)), dtype=np.bool_)
    for name, columns in places.items():
        bits[:, columns] = digits[name]
    return bits


def _digits(component: str, width: int, steps: int, rows: object) -> list[list[bool]]:
    if not isinstance(rows, list) or len(rows) != steps:
        found = f"{len(rows)} rows" if isinstance(rows, list) else repr(rows)[:60]
        raise ScheduleError(f"its 'view' has {found} for {component!r}, but needs one for each of {steps} steps.")
    for step, row in enumerate(rows):
        if not isinstance(row, str) or len(row) != width or set(row) - {"0", "1"}:
            raise ScheduleError(
                f"its 'view' has {row!r:.80} for {component!r} at step {step}, but needs {width} digits 0 or 1."
            )
    return [[digit == "1" for digit in row] for row in rows]


def _is_setting(value: object) -> bool:
    return isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value))
