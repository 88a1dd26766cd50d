"""A report's data in the compact JSON form that the page reads."""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecad_automl.schedules.layout import Layout
from ecad_automl.views.charts import Chart, front_chart, hypervolume_chart, significant, surrogate_chart
from ecad_automl.views.report.data import Images, Report
from ecad_automl.views.run import Confirmed, RunView
from ecad_automl.views.study import StudyView, study_facts
from ecad_automl.views.usage import usage_patterns

#: Prompts that are listed; more would hide the rest of the page.
_LISTED_PROMPTS = 200

# In a script element these could end it or, in old browsers, a line; in JSON text they are the same when escaped.
_ESCAPED = str.maketrans({character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"})
#: Longer side in pixels: enough to see what a schedule changes, and a page stays small.
_LARGEST = 512
#: Up to this side in pixels nothing is lost: such an image is small, and all of its pixels show.
_LOSSLESS = 128
_QUALITY = 82


def script_json(value: object) -> str:
    """JSON that may stand in a script element of a page, whatever texts it holds.

    Raises:
        ValueError: a number is not finite.
    """
    return json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False).translate(_ESCAPED)


def payload(report: Report) -> dict[str, Any]:
    """What the page reads.

    Schedules are columns of equal length; their bits are one base64 text of all genomes, one after another, each of
    ``ceil(steps * slots / 8)`` bytes with the bit of step 0 and slot 0 first. What a genome has beyond them is a list
    of the skipped steps, a text of the levels of damping, ``components + 1`` digits for each step, and one of what is
    done about guidance, a digit for each step, or null; null if nothing.
    """
    study = report.study
    confirmed, full, chosen = study.confirmed, study.uncached, study.recommended
    numbers = {run.genome: number for number, run in enumerate(report.schedules)}
    return {
        "name": study.name,
        "facts": [[label, text] for label, text in study_facts(study).items()],
        "versions": [[package, version] for package, version in report.versions.items()],
        "prompts": list(study.prompts[:_LISTED_PROMPTS]),
        "promptCount": len(study.prompts),
        "reward": study.reward_name,
        "cost": {"name": study.cost_name, "unit": study.cost_unit, "full": full.cost, "gmacs": full.gmacs},
        "steps": study.steps,
        "layout": _layout(study.layout),
        "schedules": _schedules(report.schedules),
        "first": numbers[(study.front[0] if chosen is None else chosen.run).genome],
        "recommended": None if chosen is None else str(chosen),
        "runs": [
            {
                "name": run.origin,
                "speedup": _round(run.speedup),
                "cost": _round(run.cost),
                "gmacs": _round(run.gmacs),
                "difference": _round(run.difference),
                "half": _round(run.half),
                "outline": str(run.outline),
                "confirmed": _confirmed(run.confirmed),
            }
            for run in study.shorter
        ],
        "charts": {
            "front": _chart(front_chart(study, numbers)),
            "hypervolume": _chart(hypervolume_chart(study)),
            "surrogate": _chart(surrogate_chart(study)),
        },
        "sameSteps": None if report.same_steps is None else _same_steps(report.same_steps, numbers),
        "confirmed": None
        if confirmed is None
        else {"prompts": confirmed.prompts, "seeds": confirmed.seeds, "sentences": confirmed.sentences},
        "usage": usage_patterns(study),
        "images": None if report.images is None else _images(report, report.images),
        "made": report.made,
    }


def _same_steps(study: StudyView, numbers: Mapping[str | None, int]) -> dict[str, Any]:
    return {
        "front": [numbers[run.genome] for run in study.front if run.genome in numbers],
        "heuristics": [numbers[run.genome] for run in study.heuristics if run.genome in numbers],
        "runs": [],
        "confirmed": _verdicts((numbers[run.genome], run) for run in study.runs if run.genome in numbers),
        "chart": _chart(front_chart(study, numbers)),
    }


def _chart(chart: Chart | None) -> dict[str, Any] | None:
    return None if chart is None else {"told": chart.told, "data": chart.data, "layout": chart.layout}


def _layout(layout: Layout) -> dict[str, Any]:
    return {
        "transformer": layout.transformer,
        "components": list(layout.components),
        "blocks": list(layout.blocks),
        "slotBlock": layout.block_index.tolist(),
        "slotComponent": layout.component_index.tolist(),
    }


def _schedules(runs: Sequence[RunView]) -> dict[str, Any]:
    genomes = [(run.genome or "").rpartition(":")[2].split("/") for run in runs]
    bits = b"".join(bytes.fromhex(genome[0]) for genome in genomes)
    return {
        "bits": base64.b64encode(bits).decode(),
        "more": [_beyond_bits(*genome[1:]) if genome[1:] else None for genome in genomes],
        "kind": _coded(run.kind.value for run in runs),
        "steps": [run.steps for run in runs],
        "outline": _coded(str(run.outline) for run in runs),
        "trial": [run.trial for run in runs],
        # As the names of exported files have it; the page must not round anew.
        "label": [f"{run.speedup:.2f}" for run in runs],
        "speedup": _column(run.speedup for run in runs),
        "cost": _column(run.cost for run in runs),
        "gmacs": _column(run.gmacs for run in runs),
        "reward": _column(run.reward for run in runs),
        "difference": _column(run.difference for run in runs),
        "half": _column(run.half for run in runs),
        "origin": _coded(run.origin for run in runs),
        "operator": _coded(run.operator or "" for run in runs),
        "generation": [run.generation for run in runs],
        "confirmed": _verdicts(enumerate(runs)),
    }


def _verdicts(runs: Iterable[tuple[int, RunView]]) -> dict[str, Any]:
    return {str(number): _confirmed(run.confirmed) for number, run in runs if run.confirmed}


def _beyond_bits(skip: str, damping: str, guidance: str | None = None) -> dict[str, Any]:
    steps = np.flatnonzero(np.unpackbits(np.frombuffer(bytes.fromhex(skip), dtype=np.uint8)))
    return {"skip": steps.tolist(), "damping": damping, "guidance": guidance}


def _images(report: Report, images: Images) -> dict[str, Any]:
    index = {run.genome: str(number) for number, run in enumerate(report.schedules)}
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
    return None if value is None or math.isnan(value) else significant(value)


def data_uri(image: NDArray[np.float32]) -> str:
    """An image as a ``data:`` URI of WebP.

    Args:
        image: ``(h, w, 3)`` float in [0, 1]; one larger than 512 pixels is made smaller.
    """
    from PIL import Image

    picture = Image.fromarray((np.clip(image, 0, 1) * 255).round().astype(np.uint8))
    picture.thumbnail((_LARGEST, _LARGEST), Image.Resampling.LANCZOS)
    with io.BytesIO() as file:
        picture.save(file, "WEBP", lossless=max(picture.size) <= _LOSSLESS, quality=_QUALITY, method=6)
        return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"
