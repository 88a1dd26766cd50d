"""How a front looks in a notebook: a picture and a table, without scripts, legible on light and on dark pages."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

from ecad_automl.views.notebook import BLUE, ORANGE

if TYPE_CHECKING:
    from ecad_automl.api.front import Front, FrontPoint

__all__ = ["front_html"]

_WIDTH, _HEIGHT, _MARGIN = 360, 150, 8
_SHOWN_SPEEDUP = 5.0


def front_html(front: Front) -> str:
    """The front as an HTML fragment, the cheapest schedule first.

    Args:
        front: what to show.
    """
    timed = front.cost_name == "latency"
    headings = ("trial", "origin", "speedup", *(("ms", "fewer MACs") if timed else ()), "GMACs", "reward")
    cells = "".join(f'<th scope="col"{_sorted(name)}>{name}</th>' for name in (*headings, "difference to uncached"))
    rows = "".join(_row(point, timed=timed) for point in _with_uncached(front))
    evaluated = len(front.evaluations)
    return (
        f'<div style="color:inherit"><div><strong>{escape(front.study)}</strong>: {len(front)} of {evaluated} '
        f"evaluated schedules are on the front; reward {escape(front.reward_name)}, cost {front.cost_name}</div>"
        f"{_picture(front)}<table><thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table>"
        '<div style="font-size:85%">Differences are paired means with 95 % intervals over prompts.</div></div>'
    )


def _with_uncached(front: Front) -> tuple[FrontPoint, ...]:
    """The front, and what it is compared with where that is not on it."""
    uncached = front.uncached
    found = any(point.schedule == uncached.schedule for point in front)
    return tuple(front) if found else (*front, uncached)


def _sorted(name: str) -> str:
    return ' aria-sort="descending"' if name == "speedup" else ""


def _row(point: FrontPoint, *, timed: bool) -> str:
    spread = "" if math.isnan(point.standard_error) else f" ± {1.96 * point.standard_error:.4f}"
    values = [
        "" if point.trial is None else str(point.trial),
        point.origin,
        f"{point.speedup:.2f}x",
        *((f"{point.latency_ms:.4g}", f"{point.mac_speedup:.2f}x") if timed and point.latency_ms is not None else ()),
        f"{point.gmacs:.2f}",
        f"{point.reward:.4f}",
        f"{point.difference:+.4f}{spread}",
    ]
    return f"<tr>{''.join(f'<td>{escape(value)}</td>' for value in values)}</tr>"


def _picture(front: Front) -> str:
    """Reward over cost: the front as a line with points, what it beats as small dots behind it."""
    full = front.uncached
    # Below a fifth of the cost rewards often fall so far that all others would be one line.
    shown = [point for point in front if point.speedup <= _SHOWN_SPEEDUP] or list(front)
    rewards = [point.reward for point in (*shown, full)]
    low, high = min(rewards), max(rewards)
    most = max((point.speedup for point in (*shown, full)), default=1.0)

    def place(point: FrontPoint) -> tuple[float, float]:
        x = 1 - math.log(point.speedup) / max(math.log(most), 1e-9)
        y = (high - point.reward) / max(high - low, 1e-9)
        return round(_MARGIN + x * (_WIDTH - 2 * _MARGIN), 1), round(_MARGIN + y * (_HEIGHT - 2 * _MARGIN), 1)

    behind = [
        point for point in front.evaluations if point.complete and point.reward >= low and 1 <= point.speedup <= most
    ]
    dots = "".join(f'<circle cx="{x}" cy="{y}" r="1.5"/>' for x, y in map(place, behind))
    line = " ".join(f"{x},{y}" for x, y in map(place, shown))
    marks = "".join(
        f'<circle cx="{x}" cy="{y}" r="4" fill="{BLUE}"><title>{escape(str(point))}</title></circle>'
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
