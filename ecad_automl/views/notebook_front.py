"""How a front looks in a notebook: a picture and a table, without scripts, legible on light and on dark pages."""

from __future__ import annotations

import math
from html import escape

from ecad_automl.schedules.schedule import Schedule
from ecad_automl.views.notebook import BLUE, ORANGE
from ecad_automl.views.run import RunView
from ecad_automl.views.study import StudyView

_WIDTH, _HEIGHT, _MARGIN = 360, 150, 8
_SHOWN_SPEEDUP = 5.0


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
    rows = "".join(
        f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in study.figures(run).values())}</tr>" for run in listed
    )
    return (
        f'<div style="color:inherit"><div><strong>{escape(study.name)}</strong>: {len(study.front)} of '
        f"{len(study.runs)} evaluated schedules are on the front; reward {escape(study.reward_name)}, cost "
        f"{study.cost_name}</div>{_picture(study)}<table><thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table>"
        '<div style="font-size:85%">Differences are paired means with 95 % intervals over prompts.</div></div>'
    )


def _picture(study: StudyView) -> str:
    """Reward over cost: the front as a line with points, what it beats as small dots behind it."""
    full = study.uncached
    # Below a fifth of the cost rewards often fall so far that all others would be one line.
    shown = [point for point in study.front if point.speedup <= _SHOWN_SPEEDUP] or list(study.front)
    rewards = [point.reward for point in (*shown, full)]
    low, high = min(rewards), max(rewards)
    most = max((point.speedup for point in (*shown, full)), default=1.0)

    def place(point: RunView) -> tuple[float, float]:
        x = 1 - math.log(point.speedup) / max(math.log(most), 1e-9)
        y = (high - point.reward) / max(high - low, 1e-9)
        return round(_MARGIN + x * (_WIDTH - 2 * _MARGIN), 1), round(_MARGIN + y * (_HEIGHT - 2 * _MARGIN), 1)

    behind = [point for point in study.runs if point.complete and point.reward >= low and 1 <= point.speedup <= most]
    dots = "".join(f'<circle cx="{x}" cy="{y}" r="1.5"/>' for x, y in map(place, behind))
    line = " ".join(f"{x},{y}" for x, y in map(place, shown))
    marks = "".join(
        f'<circle cx="{x}" cy="{y}" r="4" fill="{BLUE}"><title>{escape(point.summary)}</title></circle>'
        for point, (x, y) in zip(shown, map(place, shown), strict=True)
    )
    x, y = place(full)
    speedups = f"{shown[-1].speedup:.2f}x to {shown[0].speedup:.2f}x" if shown else "none"
    told = f"Reward over cost of {len(shown)} schedules of the front; times cheaper than uncached: {speedups}"
    return (
        f'<figure style="margin:4px 0"><svg role="img" aria-label="{escape(told)}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}"><title>{escape(told)}</title>'
        f'<g fill="currentColor" opacity="0.35">{dots}</g>'
        f'<polyline points="{line}" fill="none" stroke="{BLUE}" stroke-width="1.5"/>{marks}'
        f'<rect x="{x - 4}" y="{y - 4}" width="8" height="8" fill="{ORANGE}"><title>uncached</title></rect></svg>'
        '<figcaption style="font-size:75%">cheaper &larr;, better &uarr;; the square is the uncached run</figcaption>'
        "</figure>"
    )
