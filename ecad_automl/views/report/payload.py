"""A report's data in the compact JSON form that the page reads."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from ecad_automl.schedules.layout import Layout
from ecad_automl.views.report.data import Confirmed, Images, ReportData
from ecad_automl.views.report.images import data_uri

__all__ = ["payload", "script_json"]

#: Digits of figures: more than is drawn, and less than doubles carry.
_DIGITS = 6

#: Prompts that are listed; more would hide the rest of the page.
_LISTED_PROMPTS = 200

# In a script element these could end it or, in old browsers, a line; in JSON text they are the same when escaped.
_ESCAPED = str.maketrans({character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"})


def script_json(value: object) -> str:
    """JSON that may stand in a script element of a page, whatever texts it holds.

    Raises:
        ValueError: a number is not finite.
    """
    return json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False).translate(_ESCAPED)


def payload(data: ReportData) -> dict[str, Any]:
    """What the page reads.

    Schedules are columns of equal length; their bits are one base64 text of all genomes, one after another, each of
    ``ceil(steps * slots / 8)`` bytes with the bit of step 0 and slot 0 first.
    """
    return {
        "name": data.name,
        "facts": [[label, text] for label, text in data.facts.items()],
        "versions": [[package, version] for package, version in data.versions.items()],
        "prompts": list(data.prompts[:_LISTED_PROMPTS]),
        "promptCount": len(data.prompts),
        "reward": data.reward_name,
        "cost": {"name": data.cost_name, "unit": data.cost_unit, "full": data.full_cost, "gmacs": data.full_gmacs},
        "steps": data.steps,
        "layout": _layout(data.layout),
        "schedules": _schedules(data),
        "runs": [
            {
                "name": run.name,
                "speedup": _round(data.speedup(run)),
                "cost": _round(run.cost),
                "gmacs": _round(run.gmacs),
                "difference": _round(run.difference),
                "half": _round(run.half),
                "confirmed": _confirmed(run.confirmed),
            }
            for run in data.runs
        ],
        "hypervolume": [_round(value) for value in data.hypervolume],
        "generations": [
            {
                "generation": each.generation,
                "evaluations": each.evaluations,
                "rankCorrelation": _round(each.rank_correlation),
                "coverage": _round(each.coverage),
                "used": each.surrogate_used,
            }
            for each in data.generations
        ],
        "confirmed": None if data.confirmed is None else asdict(data.confirmed),
        "usage": asdict(data.usage),
        "images": None if data.images is None else _images(data, data.images),
        "made": data.made,
    }


def _layout(layout: Layout) -> dict[str, Any]:
    return {
        "transformer": layout.transformer,
        "components": list(layout.components),
        "blocks": list(layout.blocks),
        "slotBlock": layout.block_index.tolist(),
        "slotComponent": layout.component_index.tolist(),
    }


def _schedules(data: ReportData) -> dict[str, Any]:
    schedules = data.schedules
    bits = b"".join(bytes.fromhex(schedule.genome) for schedule in schedules)
    confirmed = {
        str(index): _confirmed(schedule.confirmed) for index, schedule in enumerate(schedules) if schedule.confirmed
    }
    return {
        "bits": base64.b64encode(bits).decode(),
        "kind": _coded(schedule.kind.value for schedule in schedules),
        "trial": [schedule.trial for schedule in schedules],
        # As the names of exported files have it; the page must not round anew.
        "label": [f"{data.speedup(schedule):.2f}" for schedule in schedules],
        "speedup": _column(data.speedup(schedule) for schedule in schedules),
        "cost": _column(schedule.cost for schedule in schedules),
        "gmacs": _column(schedule.gmacs for schedule in schedules),
        "reward": _column(schedule.reward for schedule in schedules),
        "difference": _column(schedule.difference for schedule in schedules),
        "half": _column(schedule.half for schedule in schedules),
        "origin": _coded(schedule.origin for schedule in schedules),
        "operator": _coded(schedule.operator or "" for schedule in schedules),
        "generation": [schedule.generation for schedule in schedules],
        "confirmed": confirmed,
    }


def _images(data: ReportData, images: Images) -> dict[str, Any]:
    index = {schedule.genome: str(number) for number, schedule in enumerate(data.schedules)}
    return {
        "prompts": list(images.prompts),
        "source": images.source,
        "uncached": [data_uri(image) for image in images.uncached],
        "schedules": {
            index[genome]: [data_uri(image) for image in pictures] for genome, pictures in images.schedules.items()
        },
    }


def _confirmed(confirmed: Confirmed | None) -> dict[str, Any] | None:
    if confirmed is None:
        return None
    return {
        "difference": _round(confirmed.difference),
        "half": _round(confirmed.half),
        "survives": confirmed.survives,
        "beatenBy": confirmed.beaten_by,
        "share": _round(confirmed.front_share),
    }


def _coded(texts: Iterable[str]) -> dict[str, Any]:
    """A column of few distinct texts: the texts, and for each row the number of its own."""
    numbers: dict[str, int] = {}
    rows = [numbers.setdefault(text, len(numbers)) for text in texts]
    return {"texts": list(numbers), "rows": rows}


def _column(values: Iterable[float | None]) -> Sequence[float | None]:
    return [_round(value) for value in values]


def _round(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{_DIGITS}g}")
