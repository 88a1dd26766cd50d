"""``ecad-automl describe``: what a schedule computes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ecad_automl.schedule import Schedule
from ecad_automl.schedule_file import ScheduleMetadata, load_schedule

__all__ = ["describe"]

_CACHED_BYTES = 2  # of an element in float16 or bfloat16


def describe(
    schedule: Annotated[Path, typer.Argument(help="Schedule file.")],
    png: Annotated[Path | None, typer.Option(help="Also draw the heatmap into this PNG file.")] = None,
) -> None:
    """Show a schedule: MACs, shares, a heatmap in the terminal and, on request, as a picture."""
    file = load_schedule(schedule)
    console = Console()
    console.print(_facts(file.schedule, file.metadata, schedule.stem))
    for index, component in enumerate(file.schedule.layout.components):
        console.print(_heatmap(file.schedule, index, component))
    console.print("Rows are blocks, columns are steps: █ computed, · reused.", style="dim")
    if png is not None:
        from ecad_automl.plots import plot_heatmap

        plot_heatmap(png, file.schedule, title=file.metadata.name or schedule.stem)
        console.print(str(png), highlight=False, soft_wrap=True)


def _facts(schedule: Schedule, metadata: ScheduleMetadata, name: str) -> Table:
    table = Table(show_header=False, title=metadata.name or name, title_justify="left")
    layout = schedule.layout
    full = schedule.steps * layout.step_macs / 1e9
    rows = {
        "transformer": f"{layout.transformer}, {len(layout.blocks)} blocks, {len(layout)} slots",
        "model": " ".join(filter(None, (metadata.model, metadata.revision))) or "-",
        "steps": str(schedule.steps),
        "GMACs per image": f"{schedule.gmacs:.3f} of {full:.3f} uncached",
        "speedup by MACs": f"{schedule.mac_speedup:.2f}x",
        **_of_a_run(schedule),
        "computed": f"{schedule.effective.mean():.1%} of all slots and steps",
    }
    for index, component in enumerate(layout.components):
        rows[f"  {component}"] = f"{schedule.effective[:, layout.component_index == index].mean():.1%}"
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
    if schedule.cache_elements:
        mebibytes = schedule.cache_elements * _CACHED_BYTES / 2**20
        rows["cache at its largest"] = f"{mebibytes:.1f} MiB per image in 16 bits"
    return rows


def _heatmap(schedule: Schedule, index: int, component: str) -> Text:
    slots = np.flatnonzero(schedule.layout.component_index == index)
    bits = schedule.effective[:, slots].T
    text = Text(f"\n{component}\n", style="bold")
    for slot, row in zip(slots, bits, strict=True):
        block = schedule.layout.slots[slot].block.rsplit(".", 1)[-1]
        text.append(f"{block:>4} ", style="dim")
        text.append("".join("█" if computed else "·" for computed in row) + "\n", style="not bold")
    return text
