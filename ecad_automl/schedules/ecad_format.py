"""The schedule files of the ECAD authors (arXiv 2506.15682, code AniAggarwal/ecad), read and written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecad_automl.errors import FileError, ScheduleError
from ecad_automl.files.json_file import read_json_object, write_text
from ecad_automl.schedules.ecad_macs import FLUX, PIXART, ecad_layout
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule

_WHAT = "schedule file of the ECAD authors"
_DOUBLE = "transformer_blocks."
_SINGLE = "single_transformer_blocks."


@dataclass(frozen=True)
class EcadFile:
    """What one of their files holds.

    Attributes:
        schedule: the schedule, with the bits as they are in the file; its layout carries MACs by their count.
        name: their name for it.
        config: height, width, guidance_scale, weights, as far as the file names them.
        metrics: what they measured: ``total_macs``, ``latency``, ...
    """

    schedule: Schedule
    name: str
    config: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)


def ecad_macs(schedule: Schedule, config: Mapping[str, Any] | None = None) -> int:
    """Multiply-accumulates of a run as the authors count them, to the unit; see :mod:`ecad_automl.schedules.ecad_macs`.

    They are linear in the bits as given, not in the effective ones: a recompute that nobody reads counts too. Only the
    first step, where the cache is empty, is always counted in full.

    Args:
        schedule: a schedule for PixArt of 28 blocks or FLUX of 19 and 38, from wherever; its own MACs are not used.
        config: the ``config`` of their file, which says the resolution; 256 px by default.

    Returns:
        MACs of all steps, for a batch of two.

    Raises:
        ScheduleError: the schedule is for another transformer or depth, or skips steps or forecasts outputs.
    """
    return int(_step_macs(schedule, config or {}).sum())


def read_ecad(path: str | Path) -> EcadFile:
    """Read one of their files.

    Raises:
        FileError: there is no such file, it is damaged or none of theirs, or it says something that bits per step,
            block and component cannot (TGATE's averaged cross-attention, blocks that are left out).
    """
    data = read_json_object(path, _WHAT)
    try:
        return _file(data)
    except ScheduleError as error:
        raise FileError(f"The {_WHAT} {path} cannot be used: {error}") from error


def write_ecad(path: str | Path, schedule: Schedule, *, name: str) -> None:
    """Write a schedule as one of their files: its bits as they were given, and their count of MACs where they have one.

    Args:
        path: the file to make or replace.
        schedule: a schedule for a PixArt or FLUX transformer of any depth.
        name: the name to give it.

    Raises:
        FileError: the file cannot be written.
        ScheduleError: the schedule is for another transformer, or skips steps or forecasts outputs.
    """
    _check_plain(schedule)
    doubles, singles = _depth(schedule.layout)
    names = [_their_names(schedule.layout, index) for index in range(len(schedule.layout))]
    # They list the components of a single block by name, which is not the order in which a forward computes them.
    order = sorted(range(len(names)), key=lambda index: (schedule.layout.block_index[index], names[index][1]))
    rows: dict[str, dict[str, dict[str, bool]]] = {}
    for step, bits in enumerate(schedule.compute.tolist()):
        blocks: dict[str, dict[str, bool]] = {}
        for index in order:
            block, component = names[index]
            blocks.setdefault(block, {})[component] = bits[index]
        rows[f"{step:03d}"] = blocks
    cache: dict[str, Any] = {
        "num_blocks": doubles,
        "num_inference_steps": schedule.steps,
        "name": name,
        "attributes": {},
        "schedule": rows,
    }
    if singles:
        cache["num_single_blocks"] = singles
    metrics: dict[str, Any] = {}
    if ecad_layout(doubles, singles).step_macs:
        by_step = _step_macs(schedule, {}).tolist()
        metrics = {
            "by_inference_step": {f"{step:03d}": {"macs": macs} for step, macs in enumerate(by_step)},
            "total_macs": sum(by_step),
            "total_macs_T": sum(by_step) / 1e12,
        }
    write_text(path, json.dumps({"cache_schedule": cache, "config": {}, "metrics": metrics}, indent=4), _WHAT)


def _file(data: Mapping[str, Any]) -> EcadFile:
    cache = data.get("cache_schedule")
    if str(data.get("schema", "")).startswith("ecad-automl/"):
        raise ScheduleError("it is a schedule file of ecad-automl, which needs no conversion; use it as it is.")
    if "dit_schedule" in data:
        raise ScheduleError("its 'dit_schedule' leaves out whole blocks, which a caching schedule cannot; use another.")
    if not isinstance(cache, dict):
        raise ScheduleError(f"it has {cache!r:.40} for 'cache_schedule', where an object is needed; check the path.")
    schedule, config, metrics = _object(cache, "schedule"), _object(data, "config"), _object(data, "metrics")
    pipeline = config.get("pipeline")
    if isinstance(pipeline, dict) and pipeline.get("name") == "tgate":
        raise _tgate_error("the pipeline 'tgate'")
    steps, doubles = (_count(cache, key) for key in ("num_inference_steps", "num_blocks"))
    singles = _count(cache, "num_single_blocks") if cache.get("num_single_blocks") is not None else 0
    rows = {_step(key): row for key, row in schedule.items()}
    # Lengths first: a file may claim any number of steps.
    if not steps == len(rows) == len(schedule) or set(rows) != set(range(steps)):
        raise ScheduleError(f"its steps are not those from 0 to {steps - 1} that 'num_inference_steps' asks for.")
    if any(not isinstance(row, dict) or len(row) != doubles + singles for row in rows.values()):
        raise ScheduleError(f"not every step has the {doubles + singles} blocks that it says it has.")
    layout = ecad_layout(doubles, singles, config)
    return EcadFile(Schedule(layout, _bits(layout, rows)), str(cache.get("name", "")), config, metrics)


def _bits(layout: Layout, rows: Mapping[int, Mapping[str, Any]]) -> NDArray[np.bool_]:
    bits = np.zeros((len(rows), len(layout)), dtype=np.bool_)
    names = [_their_names(layout, index) for index in range(len(layout))]
    known: dict[str, set[str]] = {}
    for block, component in names:
        known.setdefault(block, set()).add(component)
    for step, row in rows.items():
        for block, components in known.items():
            found = row.get(block)
            if not isinstance(found, dict):
                raise ScheduleError(f"its step {step} has {found!r:.40} for the block {block!r}, not an object.")
            custom = sorted(set(found) - components)
            if any(name.startswith("custom_compute_") for name in custom):
                raise _tgate_error(f"{custom[0]!r} at step {step}")
            if custom or set(found) != components:
                raise ScheduleError(
                    f"the block {block!r} has {sorted(found)} at step {step}, but needs {sorted(components)}."
                )
        for slot, (block, component) in enumerate(names):
            value = row[block][component]
            if not isinstance(value, bool):
                raise ScheduleError(
                    f"its step {step} has {value!r:.40} for {component!r} of block {block!r}; true or false is needed."
                )
            bits[step, slot] = value
    return bits


def _depth(layout: Layout) -> tuple[int, int]:
    doubles = sum(block.startswith(_DOUBLE) for block in layout.blocks)
    singles = sum(block.startswith(_SINGLE) for block in layout.blocks)
    if not doubles or layout != ecad_layout(doubles, singles):
        raise ScheduleError(
            f"A schedule for {layout.transformer} with the components {', '.join(layout.components)} in "
            f"{len(layout.blocks)} blocks has no form in the ECAD authors' files, which are for {PIXART} and {FLUX}."
        )
    return doubles, singles


def _their_names(layout: Layout, index: int) -> tuple[str, str]:
    """Block and component of a slot as their files call them."""
    slot = layout.slots[index]
    number = slot.block.rpartition(".")[2]
    if slot.block.startswith(_SINGLE):
        return f"single_{number}", f"single_{slot.component}"
    return number, f"full_{slot.component}" if layout.transformer == FLUX else slot.component


def _step_macs(schedule: Schedule, config: Mapping[str, Any]) -> NDArray[np.int64]:
    """``(steps,)``: MACs of each step by their count."""
    _check_plain(schedule)
    known = ecad_layout(*_depth(schedule.layout), config)
    if not known.step_macs:
        raise ScheduleError(
            f"The ECAD authors' count of MACs is for PixArt of 28 blocks and FLUX of 19 and 38, not for "
            f"{schedule.layout.transformer} of {len(known.blocks)}; use the schedule's own MACs."
        )
    bits = np.array(schedule.compute)
    bits[0] = True
    macs: NDArray[np.int64] = known.constant_macs + bits @ known.slot_macs
    return macs


def _check_plain(schedule: Schedule) -> None:
    if schedule.fitted is not None:
        raise ScheduleError(
            "The schedule has fitted coefficients, which the ECAD authors' files and counts know nothing of. Give one "
            "without, as `--no-fit` searches for, or save it with_fitted(None)."
        )
    if not schedule.is_plain:
        raise ScheduleError(
            f"The schedule skips steps ({schedule.skip.sum()}), forecasts outputs ({schedule.forecast.sum()}) or "
            f"leaves out a guidance branch ({schedule.guidance.alone.sum()}), but the ECAD authors' files and counts "
            "know only computing and reusing. Give one that does no more, as `--use reuse` searches for."
        )


def _object(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = data.get(key, {})
    if not isinstance(value, dict):
        raise ScheduleError(f"it has {value!r:.40} for {key!r}, where an object is needed.")
    return value


def _count(data: Mapping[str, Any], key: str) -> int:
    value = data.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ScheduleError(f"it has {value!r:.40} for {key!r}, where a whole number from 1 is needed.")
    return value


def _step(key: str) -> int:
    if not (key.isascii() and key.isdigit() and len(key) < 10):
        raise ScheduleError(f"it has {key!r:.40} among its steps, where numbers such as '003' are needed.")
    return int(key)


def _tgate_error(what: str) -> ScheduleError:
    return ScheduleError(
        f"it asks for {what}, which averages or replaces outputs instead of reusing them, and no bits can say that; "
        "the heuristic 'tgate' is its nearest form."
    )
