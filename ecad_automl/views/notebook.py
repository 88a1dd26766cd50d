"""How a schedule and a front look in a notebook: HTML without scripts, legible on light and on dark pages."""

from __future__ import annotations

import math
import sys
from html import escape

import numpy as np
from numpy.typing import NDArray

from ecad_automl.schedules.forecast import staleness
from ecad_automl.schedules.schedule import Bits, Schedule
from ecad_automl.views.cells import CELLS, COMPUTED, REUSED, SKIPPED, UNGUIDED, cells, guidance_cells, legend
from ecad_automl.views.run import RunView
from ecad_automl.views.study import StudyView

#: Colors that stand out from white and from black, and from each other for color-blind readers.
BLUE = "#2a85c8"
ORANGE = "#d9730d"

#: Of cells: as in pictures, but forecasts are told apart on dark pages too.
_COLORS = {1: "#e9bd6b", 2: ORANGE, 3: "#a84300", COMPUTED: BLUE, UNGUIDED: "#cc79a7"}

#: Pixels of a component's picture, and of that of a front.
_PANEL_WIDTH, _TALLEST = 200, 260
_WIDTH, _HEIGHT, _MARGIN = 560, 220, 8
#: Where the plot begins, right of its axis with its title, and what its lower axis with its title takes.
_LEFT, _BELOW = 66, 32
_SHOWN_SPEEDUP = 5.0
#: Labels at most on the axis of rewards.
_MARKS = 5


def schedule_html(schedule: Schedule, heading: str = "") -> str:
    """One panel per component: blocks downwards, steps to the right, by what is done there.

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
        f"than {schedule.steps} uncached steps"
    )
    panels, rows = [], []
    drawn, more = cells(schedule), not schedule.is_plain
    guidance = guidance_cells(schedule)
    if guidance is not None:
        panels.append(_panel("guidance", guidance[:, None]))
    for index, component in enumerate(layout.components):
        slots = layout.component_index == index
        bits = schedule.effective[:, slots]
        oldest = int(staleness(bits).max())
        panels.append(_panel(component, drawn[:, slots]))
        forecast = f"<td>{schedule.forecast[:, :-1][:, slots].mean():.0%}</td>" if more else ""
        rows.append(
            f'<tr><th scope="row" style="text-align:left">{escape(component)}</th><td>{bits.mean():.0%}</td>'
            f"{forecast}<td>{oldest}</td></tr>"
        )
    key = _key(schedule) if more else ""
    forecast_head = '<th scope="col">forecast</th>' if more else ""
    skipped = ""
    if schedule.skip.any():
        count, by_forecast = int(schedule.skip.sum()), int(schedule.forecast[:, -1].sum())
        skipped = f"<div>{count} step{'s' * (count > 1)} skipped, {by_forecast} by a forecast</div>"
    if guidance is not None:
        skipped += f"<div>{escape(schedule.guidance.told)}</div>"
    return (
        f'<div style="color:inherit"><div><strong>{escape(shown)}</strong></div>'
        f'<div style="display:flex;flex-wrap:wrap;gap:12px;align-items:flex-start">{"".join(panels)}</div>'
        f"{key}<details><summary>In numbers</summary>{skipped}<table><thead><tr>"
        f'<th scope="col" style="text-align:left">component</th><th scope="col">computed</th>{forecast_head}'
        f'<th scope="col">longest reuse, in steps</th></tr></thead><tbody>{"".join(rows)}'
        "</tbody></table></details></div>"
    )


def show_in_ipython() -> None:
    """Where IPython runs, a schedule at the end of a cell is shown as :func:`schedule_html`."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if shell is not None:
        shell.display_formatter.formatters["text/html"].for_type(Schedule, schedule_html)


def _fill(cell: int) -> str:
    """What a kind of cell is drawn with: of reused ones a shade of the page's text."""
    return 'fill="currentColor" fill-opacity="0.12"' if cell == REUSED else f'fill="{_COLORS[cell]}"'


def _key(schedule: Schedule) -> str:
    """What the colors stand for."""
    entries = "".join(
        f'<span style="margin-right:10px"><svg width="12" height="12" viewBox="0 0 1 1" aria-hidden="true">'
        f"{_shape(cell, np.ones((1, 1), dtype=np.bool_))}</svg> {CELLS[cell].name}</span>"
        for cell in legend(schedule)
    )
    return f'<div style="font-size:85%">{entries}</div>'


def _shape(cell: int, rows: Bits) -> str:
    """All cells of a kind in ``(blocks, steps)``; skipped ones are a thin line, since nothing is there."""
    if cell != SKIPPED:
        return f'<path d="{_runs(rows)}" {_fill(cell)}/>'
    return f'<path d="{_runs(rows, 0.4, 0.2)}" fill="currentColor" fill-opacity="0.5"/>'


def _panel(component: str, drawn: NDArray[np.uint8]) -> str:
    """A picture of one component, whose cells are ``(steps, blocks)``."""
    steps, blocks = drawn.shape
    height = min(_TALLEST, max(24, round(_PANEL_WIDTH * blocks / steps)))
    computed = drawn == COMPUTED
    told = f"{component}: {computed.mean():.0%} of {steps} steps x {blocks} block{'s' * (blocks > 1)} computed"
    told += "".join(
        f", {(drawn == cell).mean():.0%} {CELLS[cell].name}"
        for cell in np.unique(drawn)
        if cell not in (REUSED, COMPUTED)
    )
    downwards = f", blocks 1 to {blocks} ↓" if blocks > 1 else ""
    shapes = "".join(_shape(cell, (drawn == cell).T) for cell in (COMPUTED, *np.unique(drawn[~computed]).tolist()))
    return (
        '<figure style="margin:4px 0">'
        f'<figcaption style="font-size:85%">{escape(component)}: {computed.mean():.0%} computed</figcaption>'
        f'<svg role="img" aria-label="{escape(told)}" width="{_PANEL_WIDTH}" height="{height}" '
        f'viewBox="0 0 {steps} {blocks}" preserveAspectRatio="none" shape-rendering="crispEdges">'
        f"<title>{escape(told)}</title>"
        f"{shapes}</svg>"
        f'<div style="font-size:75%">steps 1 to {steps} →{downwards}</div></figure>'
    )


def _runs(rows: Bits, top: float = 0, height: float = 1) -> str:
    """Path of the filled cells of ``(blocks, steps)``, a rectangle for each run of them."""
    path = []
    for row, filled in enumerate(rows):
        edges = np.flatnonzero(np.diff(np.concatenate(([0], filled.astype(np.int8), [0]))))
        path += [
            f"M{begin} {row + top}h{end - begin}v{height}H{begin}z" for begin, end in edges.reshape(-1, 2).tolist()
        ]
    return "".join(path)


def front_html(study: StudyView) -> str:
    """The front of a study as an HTML fragment, the cheapest schedule first: a picture and a table."""
    # The third column, of what the study minimizes, is that by which they are sorted.
    order = {2: ' aria-sort="descending"'}
    cells = "".join(
        f'<th scope="col"{order.get(number, "")}>{heading}</th>'
        for number, heading in enumerate(study.figures(study.uncached))
    )
    full = Schedule.all_compute(study.layout, study.uncached.steps).to_genome()
    # What the front is compared with, where that is not on it.
    listed = study.front if any(run.genome == full for run in study.front) else (*study.front, study.uncached)
    chosen = study.recommended
    bold = ' style="font-weight:bold"'
    rows = "".join(
        f"<tr{bold if chosen is not None and run is chosen.run else ''}>"
        f"{''.join(f'<td>{escape(text)}</td>' for text in study.figures(run).values())}</tr>"
        for run in listed
    )
    told = "" if chosen is None else f"<div><strong>Recommended:</strong> {escape(str(chosen))}.</div>"
    return (
        f'<div style="color:inherit"><div><strong>{escape(study.name)}</strong>: {len(study.front)} of '
        f"{len(study.runs)} evaluated schedules are on the front; reward {escape(study.reward_name)}, cost "
        f"{study.cost_name}</div>{told}{_picture(study)}<table><thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table>"
        '<div style="font-size:85%">Differences are paired means with 95 % intervals over prompts.</div></div>'
    )


def _marks(low: float, high: float) -> list[float]:
    """Round numbers from one to another, a few."""
    span = max(high - low, 1e-9)
    unit = 10.0 ** math.floor(math.log10(span))
    step = next(each * unit for each in (0.1, 0.2, 0.5, 1, 2, 5) if span / (each * unit) < _MARKS)
    return [number * step for number in range(math.ceil(low / step - 1e-6), math.floor(high / step + 1e-6) + 1)]


def _picture(study: StudyView) -> str:
    """Reward over savings: the front as a line with points, fewer steps as another, what they beat as small dots."""
    full = study.uncached
    # Below a fifth of the cost rewards often fall so far that all others would be one line.
    shown = [point for point in study.front if point.speedup <= _SHOWN_SPEEDUP * (1 + 1e-6)] or list(study.front)
    rewards = [point.reward for point in (*shown, full)]
    low, high = min(rewards), max(rewards)
    most = max((point.speedup for point in (*shown, full)), default=1.0)

    def across(speedup: float) -> float:
        x = math.log(max(speedup, 1e-9)) / max(math.log(most), 1e-9)
        return round(_LEFT + _MARGIN + x * (_WIDTH - _LEFT - 3 * _MARGIN), 1)

    def down(reward: float) -> float:
        y = (high - reward) / max(high - low, 1e-9)
        return round(_MARGIN + y * (_HEIGHT - 2 * _MARGIN), 1)

    def place(point: RunView) -> tuple[float, float]:
        return across(point.speedup), down(point.reward)

    def inside(point: RunView) -> bool:
        return point.reward >= low and 1 <= point.speedup <= most

    def titled(point: RunView, radius: str, style: str) -> str:
        x, y = place(point)
        return f'<circle cx="{x}" cy="{y}" r="{radius}" {style}><title>{escape(point.summary)}</title></circle>'

    behind = [point for point in study.runs if point.complete and inside(point)]
    shorter = [point for point in (full, *reversed(study.searched_shorter)) if inside(point)]
    steps = " ".join(f"{x},{y}" for x, y in map(place, shorter))
    line = " ".join(f"{x},{y}" for x, y in map(place, shown))
    ticks = "".join(
        f'<text x="{across(mark)}" y="{_HEIGHT + 13}" text-anchor="middle">{mark:g}x</text>'
        for mark in (1, 1.5, 2, 3, 4, 5)
        if mark <= most * (1 + 1e-6)
    )
    ticks += "".join(
        f'<text x="{_LEFT - 6}" y="{down(mark) + 3}" text-anchor="end">{mark:.3g}</text>'
        f'<path d="M{_LEFT - 4} {down(mark)}h4" stroke="currentColor" stroke-opacity="0.4"/>'
        for mark in _marks(low, high)
    )
    titles = (
        f'<text x="{(_LEFT + _WIDTH) / 2}" y="{_HEIGHT + 28}" text-anchor="middle">times cheaper than uncached '
        f"({study.cost_name}) →</text>"
        f'<text transform="translate(10 {_HEIGHT / 2}) rotate(-90)" text-anchor="middle">'
        f"{escape(study.reward_name)}</text>"
    )
    chosen = study.recommended
    dots = "".join(f'<circle cx="{x}" cy="{y}" r="1.5"/>' for x, y in map(place, behind))
    marks = "".join(titled(point, "2.5", f'fill="{ORANGE}"') for point in shorter[1:])
    marks += "".join(titled(point, "4", f'fill="{BLUE}"') for point in shown)
    if chosen is not None and chosen.run in shown:
        marks += titled(chosen.run, "8", 'fill="none" stroke="currentColor" stroke-width="1.5"')
    x, y = place(full)
    speedups = f"{shown[-1].speedup:.2f}x to {shown[0].speedup:.2f}x" if shown else "none"
    told = f"Reward over savings of {len(shown)} schedules of the front; times cheaper than uncached: {speedups}"
    beyond = len(study.front) - len(shown)
    left_out = f"; {beyond} above {_SHOWN_SPEEDUP:g}x in the table alone" if beyond else ""
    return (
        f'<figure style="margin:4px 0"><svg role="img" aria-label="{escape(told)}" width="{_WIDTH}" '
        f'height="{_HEIGHT + _BELOW}" viewBox="0 0 {_WIDTH} {_HEIGHT + _BELOW}" style="max-width:100%">'
        f"<title>{escape(told)}</title>"
        f'<path d="M{_LEFT} 0V{_HEIGHT}H{_WIDTH}" fill="none" stroke="currentColor" stroke-opacity="0.4"/>'
        f'<g fill="currentColor" font-size="11">{ticks}{titles}</g>'
        f'<g fill="currentColor" opacity="0.35">{dots}</g>'
        f'<polyline points="{steps}" fill="none" stroke="{ORANGE}" stroke-width="1.2" stroke-dasharray="4 3">'
        "<title>uncached runs of fewer steps</title></polyline>"
        f'<polyline points="{line}" fill="none" stroke="{BLUE}" stroke-width="1.5"/>{marks}'
        f'<rect x="{x - 4}" y="{y - 4}" width="8" height="8" fill="{ORANGE}"><title>uncached</title></rect></svg>'
        '<figcaption style="font-size:85%">Blue: the front, a ring around the recommended schedule; orange, dashed: '
        f"uncached runs of fewer steps; square: uncached; small dots: all others{left_out}.</figcaption>"
        "</figure>"
    )
