"""A made-up study whose texts try to be markup."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks.made_up_study import made_up_identity
from ecad_automl.schedules.genomes import Genomes, write_genome
from ecad_automl.schedules.guidance import NONE
from ecad_automl.schedules.layout import Layout, Slot
from ecad_automl.schedules.outline import Outline
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.views.report.data import Images, Report
from ecad_automl.views.run import Confirmed, Kind, RunView
from ecad_automl.views.study import ConfirmedFront, GenerationView, StudyView

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
IDENTITY = made_up_identity(LAYOUT, STEPS, [HOSTILE_PROMPT, "a dog"], reward="<b>clip</b>")


def made_up_study(*, evaluated: int = 8, confirmed: bool = True) -> StudyView:
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
    runs = (*front, *heuristics, *others)
    shorter = (
        _run(Kind.STEPS, 2.0, -0.2, 0.05, "2 steps", confirmed=_confirmed(-0.22) if confirmed else None, steps=2),
        _run(Kind.STEPS, 4.0, -0.05, 0.02, "4 steps", steps=4),
    )
    unseen = ConfirmedFront(96, 1, tuple(front), (shorter[0],), sentences=("5 of 6 schedules survive (83%).",))
    return StudyView(
        name=HOSTILE_NAME,
        storage="a b.db",
        identity=IDENTITY,
        genomes=Genomes(LAYOUT, STEPS),
        call={"guidance_scale": 4.5, "extra": {"b": 1}},
        cost_name="MACs",
        cost_unit="GMACs per image",
        runs=runs,
        uncached=_run(Kind.UNCACHED, FULL, 0.0, 0.0, "uncached"),
        shorter=shorter,
        hypervolume=tuple(np.linspace(0.3, 0.6, len(runs)).tolist()),
        generations=(
            GenerationView(0, 8),
            GenerationView(1, 12, 0.4, 0.85, surrogate_used=True),
            GenerationView(2, 16, 0.6, 0.9, surrogate_used=True),
        ),
        confirmed=unseen if confirmed else None,
    )


def made_up_report(*, evaluated: int = 8, confirmed: bool = True, images: bool = True) -> Report:
    """A report of the made-up study."""
    study = made_up_study(evaluated=evaluated, confirmed=confirmed)
    return Report(
        study,
        _images(study) if images else None,
        versions={"ecad-automl": "0.1.0"},
        made="2026-01-01 00:00 UTC",
    )


def report_of_several_steps() -> Report:
    """The made-up study, not confirmed, whose two cheapest schedules have 4 steps, of which the third is skipped.

    The last one is run without guidance, and the second with the last difference of both branches.
    """
    study = made_up_study(confirmed=False)
    compute = np.ones((4, len(LAYOUT)), dtype=np.bool_)
    compute[1, 0] = False
    shorter = Schedule(LAYOUT, compute, [0, 0, 1, 0], guidance=[0, 1, 0, NONE])
    other = Schedule(LAYOUT, np.ones((4, len(LAYOUT)), dtype=np.bool_), [0, 0, 1, 0], guidance=[0, 1, 0, NONE])
    changed = {0: shorter, 1: other}
    runs = tuple(
        replace(run, genome=(genome := write_genome(changed[run.trial], STEPS)), outline=_outline(genome, 4))
        if run.trial in changed
        else run
        for run in study.runs
    )
    own = tuple(run for run in runs if run.steps == STEPS)
    return Report(replace(study, runs=runs), same_steps=replace(study, runs=own, shorter=()))


def with_study(report: Report, **changes: object) -> Report:
    """The report of a changed study."""
    return replace(report, study=replace(report.study, **changes))  # type: ignore[arg-type]


def bits_of(report: Report, index: int) -> np.ndarray:
    """``(steps, slots)`` bool of a schedule."""
    return report.study.schedule(report.schedules[index]).effective


def _front_schedule(rank: int, generator: np.random.Generator, *, confirmed: bool) -> RunView:
    drop = 0.09 * (1 - rank / 5) ** 2
    unseen = _confirmed(-1.2 * drop, survives=rank != 0) if confirmed else None
    cost = 1.2 + 0.96 * rank
    return _schedule(generator, Kind.FRONT, cost, -drop, trial=rank, origin="bred", operator="steps", confirmed=unseen)


def _confirmed(difference: float, *, survives: bool = True) -> Confirmed:
    beaten_by = None if survives else "2 steps"
    return Confirmed(1.0 + difference, difference, 0.02, survives, beaten_by, False, 0.5, difference / 1.2)


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
) -> RunView:
    compute = generator.random((STEPS, len(LAYOUT))) < cost / FULL
    return _run(
        kind,
        cost,
        difference,
        None if kind is Kind.STOPPED else 0.01,
        origin,
        trial=trial,
        genome=Schedule(LAYOUT, compute).to_genome(),
        operator=operator,
        generation=None if operator is None else 2,
        confirmed=confirmed,
        created="2026-01-01T00:00:00+00:00",
    )


def _run(
    kind: Kind, cost: float, difference: float, half: float | None, origin: str, steps: int = STEPS, **more: object
) -> RunView:
    return RunView(
        kind=kind,
        origin=origin,
        outline=_outline(more.get("genome"), steps),
        reward=1.0 + difference,
        difference=difference,
        half=half,
        gmacs=cost,
        mac_speedup=FULL / cost,
        cost=cost,
        speedup=FULL / cost,
        **more,  # type: ignore[arg-type]
    )


def _outline(genome: object, steps: int) -> Outline:
    if genome is None:
        return Outline.whole(LAYOUT, steps)
    return Genomes(LAYOUT, STEPS).outline(str(genome))


def _images(study: StudyView) -> Images:
    pictures = np.linspace(0, 1, 2 * 8 * 8 * 3, dtype=np.float32).reshape(2, 8, 8, 3)
    made = {str(study.front[place].genome): pictures for place in (0, 3)}
    return Images((HOSTILE_PROMPT, "a dog"), "prompts that were searched with", pictures, made)
