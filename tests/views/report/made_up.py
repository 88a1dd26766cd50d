"""A made-up study whose texts try to be markup."""

from __future__ import annotations

import numpy as np

from ecad_automl.schedules.layout import Layout, Slot
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.views.report.data import (
    Confirmed,
    ConfirmedFront,
    GenerationFigures,
    Images,
    Kind,
    ReportData,
    ScheduleFigures,
    StepsRun,
    Usage,
)

HOSTILE_PROMPT = "</script><script>window.hacked = true</script><!-- <b>a cat & a dog</b>"
HOSTILE_ORIGIN = "<img src=x onerror='window.hacked = true'>"
HOSTILE_NAME = "cats & <i>dogs</i> | <script>window.hacked = true</script>"

STEPS = 6
COMPONENTS = ("attn1", "attn2", "ff")
LAYOUT = Layout(
    "MadeUpTransformer",
    tuple(Slot(f"blocks.{block}", component, macs=10) for block in range(4) for component in COMPONENTS),
)
FULL = 6.0


def made_up_report(*, evaluated: int = 8, confirmed: bool = True, images: bool = True) -> ReportData:
    """A front of six, the cheapest first, two heuristics, and others behind it."""
    generator = np.random.default_rng(0)
    front = [_front_schedule(rank, generator, confirmed=confirmed) for rank in range(6)]
    heuristics = [
        _schedule(generator, Kind.HEURISTIC, cost, -0.06, trial=10 + number, origin=origin)
        for number, (cost, origin) in enumerate(((3.0, "fora-2"), (2.0, HOSTILE_ORIGIN)))
    ]
    others = [
        _schedule(generator, kind, float(generator.uniform(1.5, 5.5)), -0.1, trial=20 + number, origin=HOSTILE_ORIGIN)
        for number, kind in enumerate([Kind.EVALUATED] * evaluated + [Kind.STOPPED, Kind.STOPPED, Kind.INFEASIBLE])
    ]
    schedules = (*front, *heuristics, *others)
    return ReportData(
        name=HOSTILE_NAME,
        facts={"Model": "made/up\nabc123", "Reward": "<b>clip</b>"},
        versions={"ecad-automl": "0.1.0"},
        prompts=(HOSTILE_PROMPT, "a dog"),
        reward_name="<b>clip</b>",
        cost_name="MACs",
        cost_unit="GMACs per image",
        full_cost=FULL,
        full_gmacs=FULL,
        uncached_reward=1.0,
        steps=STEPS,
        layout=LAYOUT,
        schedules=schedules,
        runs=(
            StepsRun("2 steps", 2.0, 2.0, -0.2, 0.05, _confirmed(-0.22) if confirmed else None),
            StepsRun("4 steps", 4.0, 4.0, -0.05, 0.02),
        ),
        hypervolume=tuple(np.linspace(0.3, 0.6, len(schedules)).tolist()),
        generations=(
            GenerationFigures(0, 8),
            GenerationFigures(1, 12, 0.4, 0.85, surrogate_used=True),
            GenerationFigures(2, 16, 0.6, 0.9, surrogate_used=True),
        ),
        usage=Usage(
            "ecad-automl export --storage 'a b.db' --trial {trial} --out schedules",
            "schedules/made-{speedup}x-trial{trial}.json",
            "with apply_schedule(pipe, {file}):\n    pipe('a', extra={'b': 1})",
            "ecad-automl report --storage 'a b.db' --images 4",
        ),
        made="2026-01-01 00:00 UTC",
        confirmed=ConfirmedFront(96, 1, ("5 of 6 schedules survive (83%).",)) if confirmed else None,
        images=_images(front) if images else None,
    )


def bits_of(data: ReportData, index: int) -> np.ndarray:
    """``(steps, slots)`` bool of a schedule."""
    return data.schedule(data.schedules[index]).effective


def _front_schedule(rank: int, generator: np.random.Generator, *, confirmed: bool) -> ScheduleFigures:
    drop = 0.09 * (1 - rank / 5) ** 2
    unseen = _confirmed(-1.2 * drop, survives=rank != 0) if confirmed else None
    cost = 1.2 + 0.96 * rank
    return _schedule(generator, Kind.FRONT, cost, -drop, trial=rank, origin="bred", operator="steps", confirmed=unseen)


def _confirmed(difference: float, *, survives: bool = True) -> Confirmed:
    return Confirmed(difference, 0.02, survives, None if survives else "2 steps", 0.5)


def _schedule(
    generator: np.random.Generator,
    kind: Kind,
    cost: float,
    difference: float,
    *,
    trial: int,
    origin: str,
    operator: str | None = None,
    confirmed: Confirmed | None = None,
) -> ScheduleFigures:
    compute = generator.random((STEPS, len(LAYOUT))) < cost / FULL
    return ScheduleFigures(
        genome=Schedule(LAYOUT, compute).to_hex(),
        kind=kind,
        cost=cost,
        gmacs=cost,
        reward=1.0 + difference,
        difference=difference,
        half=None if kind is Kind.STOPPED else 0.01,
        trial=trial,
        origin=origin,
        operator=operator,
        generation=None if operator is None else 2,
        confirmed=confirmed,
    )


def _images(front: list[ScheduleFigures]) -> Images:
    pictures = np.linspace(0, 1, 2 * 8 * 8 * 3, dtype=np.float32).reshape(2, 8, 8, 3)
    made = {schedule.genome: pictures for schedule in (front[0], front[3])}
    return Images((HOSTILE_PROMPT, "a dog"), "prompts that were searched with", pictures, made)
