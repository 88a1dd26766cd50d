"""``ecad-automl describe``: what a schedule computes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.table import Table
from rich.text import Text

from ecad_automl.api.terminal import say
from ecad_automl.cli.completion import complete_schedule
from ecad_automl.cli.options import Json
from ecad_automl.cli.output import print_json, print_paths, results
from ecad_automl.schedules.layout import place_of
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.schedules.schedule_file import Measured, ScheduleFile, load_schedule
from ecad_automl.schedules.skips import reused_steps, with_skips
from ecad_automl.views.cells import CELLS, cells, guidance_cells, legend

_CACHED_BYTES = 2  # of an element in float16 or bfloat16


def describe(
    schedule: Annotated[Path, typer.Argument(help="Schedule file.", autocompletion=complete_schedule)],
    png: Annotated[Path | None, typer.Option(help="Also draw the heatmap into this PNG file.")] = None,
    json_output: Json = False,
) -> None:
    """Show a schedule: MACs, shares, a heatmap in the terminal and, on request, as a picture."""
    file = load_schedule(schedule)
    name = file.metadata.name or schedule.stem
    if png is not None:
        from ecad_automl.views.plots import plot_heatmap

        plot_heatmap(png, file.schedule, title=name)
    if json_output:
        print_json(_document(file, schedule, name, png))
        return
    console = results()
    say(console, name, style="bold")
    console.print(_facts(file))
    guidance = guidance_cells(file.schedule)
    if guidance is not None:
        console.print(Text("\nguidance\n", style="bold") + _row("", guidance), soft_wrap=True)
    for index, component in enumerate(file.schedule.layout.components):
        console.print(_heatmap(file.schedule, index, component), soft_wrap=True)
    marks = ", ".join(f"{CELLS[cell].mark} {CELLS[cell].name}" for cell in reversed(legend(file.schedule)))
    say(console, f"Rows are blocks, columns are steps: {marks}.", style="dim")
    if png is not None:
        print_paths(png)


def _document(file: ScheduleFile, path: Path, name: str, png: Path | None) -> dict[str, Any]:
    schedule, metadata, layout = file.schedule, file.metadata, file.schedule.layout
    return {
        "schema": "ecad-automl/description/1",
        "file": path,
        "name": name,
        "transformer": layout.transformer,
        "model": metadata.model,
        "revision": metadata.revision,
        "steps": schedule.steps,
        "blocks": len(layout.blocks),
        "slots": len(layout),
        "gmacs": schedule.gmacs,
        "uncached_gmacs": file.uncached_steps * layout.step_macs / 1e9,
        "run_gmacs": schedule.run_macs / 1e9 if schedule.run_macs < schedule.macs else None,
        "mac_speedup": file.mac_speedup,
        "cache_bytes": _cache_bytes(schedule),
        "computed": float(schedule.effective.mean()),
        "skipped": np.flatnonzero(schedule.skip).tolist(),
        "reused": np.flatnonzero(reused_steps(schedule)).tolist(),
        "forecast": schedule.forecast_share,
        "fitted": schedule.fitted is not None,
        "guidance": {
            "both": int(schedule.guidance.both.sum()),
            "kept": np.flatnonzero(schedule.guidance.kept).tolist(),
            "none": np.flatnonzero(schedule.guidance.alone & ~schedule.guidance.kept).tolist(),
        },
        "components": _computed(schedule),
        "objectives": {
            key: {name: getattr(measured, name) for name in Measured.model_fields}
            for key, measured in (metadata.objectives or {}).items()
        },
        "rows": [
            {"block": slot.block, "component": slot.component, "steps": np.flatnonzero(bits).tolist()}
            for slot, bits in zip(layout.slots, schedule.effective.T, strict=True)
        ],
        "png": png,
    }


def _computed(schedule: Schedule) -> dict[str, float]:
    """The share that is computed of each component."""
    layout = schedule.layout
    return {
        component: float(schedule.effective[:, layout.component_index == index].mean())
        for index, component in enumerate(layout.components)
    }


def _cache_bytes(schedule: Schedule) -> int | None:
    """The cache at its largest, per image; None where the layout was counted by a version that does not tell."""
    return schedule.cache_elements * _CACHED_BYTES or None


def _facts(file: ScheduleFile) -> Table:
    schedule, metadata = file.schedule, file.metadata
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    layout = schedule.layout
    full = file.uncached_steps * layout.step_macs / 1e9
    rows = {
        "transformer": f"{layout.transformer}, {len(layout.blocks)} blocks, {len(layout)} slots",
        "model": " ".join(filter(None, (metadata.model, metadata.revision))) or "-",
        "steps": str(schedule.steps),
        "GMACs per image": f"{schedule.gmacs:.3f} of {full:.3f} uncached",
        "speedup by MACs": f"{file.mac_speedup:.2f}x",
        **_of_a_run(schedule),
        "computed": f"{schedule.effective.mean():.1%} of all slots and steps",
    }
    rows |= {f"  {component}": f"{share:.1%}" for component, share in _computed(schedule).items()}
    if schedule.skip.any():
        rows["skipped"] = f"{int(schedule.skip.sum())} of {schedule.steps} steps"
    if count := int(reused_steps(schedule).sum()):
        saved = 1 - with_skips(schedule).mac_fraction / schedule.mac_fraction
        rows["all reused"] = (
            f"{count} of {schedule.steps} steps; skipped, they would save {saved:.1%} (convert --skips)"
        )
    if schedule.forecast.any():
        rows["forecast"] = f"{schedule.forecast_share:.1%} of what is used from the cache"
    if schedule.fitted is not None:
        rows["fitted"] = "what the scheduler is given, to uncached runs"
    if not schedule.guidance.is_full:
        rows["guidance"] = schedule.guidance.told
    for objective, measured in (metadata.objectives or {}).items():
        interval = "" if measured.low is None else f" [{measured.low:.4f}, {measured.high:.4f}]"
        rows[objective] = f"{measured.value:.4f}{interval}"
    for key, value in rows.items():
        table.add_row(key, value)
    return table


def _of_a_run(schedule: Schedule) -> dict[str, str]:
    """What a run under the schedule needs, where its layout was counted by a version that knows."""
    rows = {}
    if schedule.run_macs < schedule.macs:
        rows["  with text once"] = f"{schedule.run_macs / 1e9:.3f}, as apply_schedule runs it"
    held = _cache_bytes(schedule)
    if held is not None:
        rows["cache at its largest"] = f"{held / 2**20:.1f} MiB per image in 16 bits"
    return rows


def _heatmap(schedule: Schedule, index: int, component: str) -> Text:
    slots = np.flatnonzero(schedule.layout.component_index == index)
    text = Text(f"\n{component}\n", style="bold")
    for slot, row in zip(slots, cells(schedule)[:, slots].T, strict=True):
        _, block = place_of(schedule.layout.slots[slot].block)
        text.append_text(_row(block, row))
    return text


def _row(block: str, row: NDArray[np.uint8]) -> Text:
    text = Text(f"{block:>4} ", style="dim")
    text.append("".join(CELLS[cell].mark for cell in row) + "\n", style="not bold not dim")
    return text
