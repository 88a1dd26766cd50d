"""How a schedule looks in a notebook: HTML without scripts, legible on light and on dark pages."""

from __future__ import annotations

import sys
from html import escape

import numpy as np

from ecad_automl.schedules.schedule import Bits, Schedule, staleness

#: Colors that stand out from white and from black, and from each other for color-blind readers.
BLUE = "#2a85c8"
ORANGE = "#d9730d"

_WIDTH = 200
_TALLEST = 260


def schedule_html(schedule: Schedule, heading: str = "") -> str:
    """One panel per component: blocks downwards, steps to the right, filled where computed.

    What is drawn is told in words too: each picture has a description, and a table says how much is computed.

    Args:
        schedule: what to show.
        heading: text above the panels; by default the transformer and what the schedule saves.

    Returns:
        An HTML fragment.
    """
    layout = schedule.layout
    shown = heading or (
        f"{layout.transformer}: {schedule.steps} steps, {schedule.gmacs:.2f} GMACs, {schedule.mac_speedup:.2f}x fewer "
        "than uncached"
    )
    panels, rows = [], []
    for index, component in enumerate(layout.components):
        bits = schedule.effective[:, layout.component_index == index]
        oldest = int(staleness(bits).max())
        panels.append(_panel(component, bits))
        rows.append(
            f'<tr><th scope="row" style="text-align:left">{escape(component)}</th><td>{bits.mean():.0%}</td>'
            f"<td>{oldest}</td></tr>"
        )
    return (
        f'<div style="color:inherit"><div><strong>{escape(shown)}</strong></div>'
        f'<div style="display:flex;flex-wrap:wrap;gap:12px;align-items:flex-start">{"".join(panels)}</div>'
        "<details><summary>In numbers</summary><table><thead><tr>"
        '<th scope="col" style="text-align:left">component</th><th scope="col">computed</th>'
        f'<th scope="col">longest reuse, in steps</th></tr></thead><tbody>{"".join(rows)}'
        "</tbody></table></details></div>"
    )


def show_in_ipython() -> None:
    """Where IPython runs, a schedule at the end of a cell is shown as :func:`schedule_html`."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if shell is not None:
        shell.display_formatter.formatters["text/html"].for_type(Schedule, schedule_html)


def _panel(component: str, bits: Bits) -> str:
    """A picture of one component, whose bits are ``(steps, blocks)``: what is computed."""
    steps, blocks = bits.shape
    height = min(_TALLEST, max(24, round(_WIDTH * blocks / steps)))
    told = f"{component}: {bits.mean():.0%} of {steps} steps x {blocks} block{'s' * (blocks > 1)} computed"
    return (
        '<figure style="margin:4px 0">'
        f'<figcaption style="font-size:85%">{escape(component)}: {bits.mean():.0%} computed</figcaption>'
        f'<svg role="img" aria-label="{escape(told)}" width="{_WIDTH}" height="{height}" '
        f'viewBox="0 0 {steps} {blocks}" preserveAspectRatio="none" shape-rendering="crispEdges">'
        f"<title>{escape(told)}</title>"
        f'<rect width="{steps}" height="{blocks}" fill="currentColor" fill-opacity="0.12"/>'
        f'<path d="{_runs(bits.T)}" fill="{BLUE}"/></svg>'
        f'<div style="font-size:75%">steps 1 to {steps} &rarr;, blocks 1 to {blocks} &darr;</div></figure>'
    )


def _runs(rows: Bits) -> str:
    """Path of the filled cells of ``(blocks, steps)``, a rectangle for each run of them."""
    path = []
    for row, cells in enumerate(rows):
        edges = np.flatnonzero(np.diff(np.concatenate(([0], cells.astype(np.int8), [0]))))
        path += [f"M{begin} {row}h{end - begin}v1H{begin}z" for begin, end in edges.reshape(-1, 2).tolist()]
    return "".join(path)
