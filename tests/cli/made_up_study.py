"""A study database of a model that never was, made in no time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.made_up_study import made_up_identity
from ecad_automl.schedules.genomes import write_genome
from ecad_automl.schedules.heuristics import fora
from ecad_automl.schedules.layout import Layout, Slot
from ecad_automl.schedules.schedule import Schedule
from storage import BaselineRecord, ConfirmationRecord, EvaluationRecord, Store
from tests.views.report.made_up import HOSTILE_PROMPT

__all__ = [
    "FULL",
    "IDENTITY",
    "LAYOUT",
    "SCHEDULES",
    "SHORTER",
    "STEPS",
    "reusing",
    "save_confirmations",
    "save_shorter",
    "save_study",
]

STEPS = 4
LAYOUT = Layout(
    "MadeUpTransformer",
    tuple(Slot(f"blocks.{block}", component, macs=10**9) for block in range(2) for component in ("attn1", "ff")),
)
FULL = Schedule.all_compute(LAYOUT, STEPS)
IDENTITY = made_up_identity(LAYOUT, STEPS, [HOSTILE_PROMPT, "a dog"], reward="made-up")


def save_study(path: Path, identity: dict[str, Any], schedules: dict[str, Schedule]) -> None:
    """A study whose rewards fall with the share that is reused."""
    with Store.open(path) as store:
        store.claim_study("made", identity)
        full = Schedule.all_compute(next(iter(schedules.values())).layout, STEPS)
        store.save_baseline("made", BaselineRecord("uncached", STEPS, full.gmacs, 1.0, scores=_scores(1.0)))
        store.save_baseline("made", BaselineRecord("2 steps", 2, full.gmacs / 2, 0.4, 0.6, 0.1, scores=_scores(0.4)))
        for trial, (origin, schedule) in enumerate({"uncached": full, **schedules}.items()):
            drop = 1 - float(schedule.effective.mean())
            record = EvaluationRecord(
                *(schedule.to_genome(), schedule.gmacs, 1.0 - drop, drop, 0.01),
                *(_scores(1.0 - drop), 1.0, origin, trial),
                complete=origin != "stopped",
                created=f"2026-01-0{1 + trial}T00:00:00+00:00",
            )
            store.save_evaluation("made", record)


def _scores(mean: float) -> dict[str, np.ndarray]:
    return {"made-up": np.array([mean - 0.1, mean + 0.1], dtype=np.float32)}


def reusing(*cells: tuple[int, int], layout: Layout = LAYOUT) -> Schedule:
    compute = np.ones((STEPS, len(layout)), dtype=np.bool_)
    for step, slot in cells:
        compute[step, slot] = False
    return Schedule(layout, compute)


SCHEDULES = {
    "fora-2": fora(LAYOUT, STEPS, 2),
    "bred": reusing((1, 0), (2, 1)),
    "stopped": reusing((1, 0), (2, 1), (3, 2)),
}


#: Of three steps, of which one is skipped, and one has the last difference of both guidance branches.
SHORTER = Schedule(LAYOUT, np.ones((3, len(LAYOUT))), [0, 1, 0], guidance=[0, 0, 1])


def save_shorter(path: Path) -> None:
    """Beside the study: a schedule of fewer steps, better than each other one that is as cheap."""
    with Store.open(path) as store:
        scores = {"made-up": np.array([0.85, 1.05], dtype=np.float32)}
        store.save_evaluation(
            "made",
            EvaluationRecord(
                *(write_genome(SHORTER, STEPS), SHORTER.gmacs, 0.95, 0.05, 0.01, scores, 1.0, "bred", 9),
                created="2026-01-09T00:00:00+00:00",
            ),
        )


def save_confirmations(path: Path) -> None:
    """Runs of the study on five unseen prompts: the cheap schedule is worse than fewer steps."""
    worse = SCHEDULES["fora-2"]
    runs = {
        FULL.to_genome(): ("uncached", STEPS, FULL.gmacs, 1.0),
        "2 steps": ("2 steps", 2, FULL.gmacs / 2, 0.9),
        worse.to_genome(): ("fora-2", STEPS, worse.gmacs, 0.2),
    }
    with Store.open(path) as store:
        for run, (origin, steps, gmacs, mean) in runs.items():
            scores = {"made-up": np.linspace(mean - 0.01, mean + 0.01, 5, dtype=np.float32)}
            store.save_confirmation("made", ConfirmationRecord("s", run, origin, steps, 5, 1, gmacs, scores=scores))
