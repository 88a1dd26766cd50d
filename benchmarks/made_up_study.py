"""A study of any size whose rewards are made up: no model is run, all is stored as a search stores it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecad_automl.schedules.layout import Layout, Slot
from ecad_automl.schedules.schedule import Schedule
from storage import BaselineRecord, EvaluationRecord, GenerationRecord, Store, open_optuna_storage
from studies import attributes
from studies.breeding import describe, distributions
from studies.prepared import REWARD
from studies.sampler import ScheduleNSGAIISampler
from studies.schedule_space import schedule_descriptors

__all__ = ["PIXART", "SMALL", "made_up_identity", "made_up_study", "pixart_layout"]

#: GMACs of attention, cross-attention and feed-forward of a block of PixArt-XL at 256 px.
_MACS = (("attn1", 1_510_000_000), ("attn2", 780_000_000), ("ff", 2_718_000_000))
#: Blocks and steps: PixArt-XL with 1,680 bits, and one that is quick to draw.
PIXART = (28, 20)
SMALL = (3, 8)
_BATCH = 8
_PROMPTS = 24


def pixart_layout(blocks: int) -> Layout:
    """Slots of a PixArt of so many blocks."""
    slots = [Slot(f"transformer_blocks.{block}", name, None, macs) for block in range(blocks) for name, macs in _MACS]
    return Layout("PixArtTransformer2DModel", tuple(slots), 300_000_000)


def made_up_study(
    database: Path,
    trials: int,
    *,
    name: str = "made-up",
    size: tuple[int, int] = SMALL,
    prompts: Sequence[str] = tuple(f"prompt {number} of a study" for number in range(_PROMPTS)),
    layout: Layout | None = None,
    identity: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> None:
    """Write a study: its Optuna trials, our tables, and what Optuna's sampler notes beside.

    Args:
        database: the file; made where it does not exist.
        trials: how many.
        name: of the study.
        size: blocks and steps of its transformer.
        prompts: those that it is said to have been searched with.
        layout: another transformer; its blocks stand in place of those of ``size``.
        identity: what else to say of the study than that of a PixArt that does not exist.
        seed: of what is made up.
    """
    blocks, steps = size
    layout = layout or pixart_layout(blocks)
    rng = np.random.default_rng(seed)
    schedules = _schedules(layout, steps, trials, rng)
    rewards = np.array([_reward(schedule, rng) for schedule in schedules])
    full = Schedule.all_compute(layout, steps)
    with Store.open(database) as store:
        store.claim_study(name, made_up_identity(layout, steps, prompts, **(identity or {})))
        for count in (steps, max(1, steps // 2), max(1, steps // 4)):
            drop = 0.0 if count == steps else 0.03 * (steps / count - 1)
            run = "uncached" if count == steps else f"{count} steps"
            share = count / steps
            store.save_baseline(
                name, BaselineRecord(run, count, full.gmacs * share, -drop, drop, 0.004 if drop else None)
            )
        for number, (schedule, reward) in enumerate(zip(schedules, rewards, strict=True)):
            store.save_evaluation(name, _record(schedule, float(reward), number))
        for generation in range(trials // _BATCH):
            known = None if generation < 4 else float(rng.uniform(0.4, 0.8))
            covered = None if known is None else 0.9
            store.save_generation(
                name, GenerationRecord(generation, (generation + 1) * _BATCH, 0.5, known, covered, known is not None)
            )
    _optuna_trials(database, name, layout, steps, schedules, rewards)


def _schedules(layout: Layout, steps: int, count: int, rng: np.random.Generator) -> list[Schedule]:
    """Distinct ones, from no savings to tenfold."""
    found: dict[str, Schedule] = {}
    while len(found) < count:
        share = rng.uniform(0.05, 1.0)
        whole = rng.random(steps) < share
        bits: NDArray[np.bool_] = whole[:, None] ^ (rng.random((steps, len(layout))) < 0.1 * rng.random())
        bits[0] = True
        schedule = Schedule(layout, bits)
        found[schedule.to_genome()] = schedule
    return list(found.values())


def _reward(schedule: Schedule, rng: np.random.Generator) -> float:
    return -0.05 * (schedule.mac_speedup - 1) * float(rng.gamma(8.0, 1 / 8))


def _record(schedule: Schedule, reward: float, number: int) -> EvaluationRecord:
    scores = {REWARD: np.full(_PROMPTS, reward, np.float32)}
    origin = _origin(number)
    return EvaluationRecord(
        schedule.to_genome(), schedule.gmacs, reward, -reward, 0.1 * abs(reward), scores, 1.0, origin, number
    )


def _origin(number: int) -> str:
    return (
        ("fora-2", "fora-3", "drift-1", "drift-2", "random-1", "tgate", "drift-3", "drift-4")[number]
        if (number < _BATCH)
        else "bred"
    )


def made_up_identity(layout: Layout, steps: int, prompts: Sequence[str], **changes: Any) -> dict[str, Any]:
    """What is kept of a study beside its results, of a model that never was."""
    return {
        "model": "made/up",
        "revision": "abc",
        "pipeline": "PixArtAlphaPipeline",
        "transformer": layout.transformer,
        "layout": layout.to_dict(),
        "dtype": "float16",
        "scheduler": "DPMSolverMultistepScheduler",
        "scheduler_config": {},
        "generation": {
            "steps": steps,
            "guidance_scale": 4.5,
            "height": 256,
            "width": 256,
            "max_sequence_length": 120,
            "extra": {},
        },
        "prompts": list(prompts),
        "prompts_hash": "0",
        "seeds": [0],
        "reward": REWARD,
        **changes,
    }


def _optuna_trials(
    database: Path, name: str, layout: Layout, steps: int, schedules: Sequence[Schedule], rewards: NDArray[np.float64]
) -> None:
    import optuna
    from optuna.trial import TrialState

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = open_optuna_storage(database)
    optuna.create_study(storage=storage, study_name=name, directions=["maximize", "minimize"])
    study_id = storage.get_study_id_from_name(name)
    storage.set_study_system_attr(study_id, "study:metric_names", [REWARD, "gmacs"])
    descriptors = schedule_descriptors(layout, steps)
    key = ScheduleNSGAIISampler._get_generation_key()
    for number, (schedule, reward) in enumerate(zip(schedules, rewards, strict=True)):
        said: dict[str, Any] = {
            attributes.GENOME: schedule.to_genome(),
            attributes.ORIGIN: _origin(number),
            attributes.FILTERED: number >= _BATCH,
            attributes.GENERATION: number // _BATCH,
            attributes.SPEEDUP: round(schedule.mac_speedup, 4),
            attributes.MAC_FRACTION: round(schedule.mac_fraction, 6),
            attributes.DIFFERENCE: float(reward),
            attributes.DIFFERENCE_ERROR: 0.1 * abs(float(reward)),
            attributes.SECONDS: 1.0,
        }
        if number >= _BATCH:
            said[attributes.OPERATOR] = "rectangle+band"
            said[attributes.PREDICTED_REWARD] = 1.02 * float(reward)
            said[attributes.PREDICTED_STD] = 0.01
            said[attributes.PREDICTION_ERROR] = round(-0.02 * float(reward), 6)
        template = optuna.trial.create_trial(
            state=TrialState.COMPLETE,
            values=[float(reward), schedule.gmacs],
            params=describe(descriptors, schedule.effective),
            distributions=distributions(descriptors),
            user_attrs=said,
            system_attrs={key: number // _BATCH},
        )
        storage.create_new_trial(study_id, template)
    # What the sampler keeps of each generation: the parents of the next.
    prefix = ScheduleNSGAIISampler._get_parent_cache_key_prefix()
    for generation in range(1, len(schedules) // _BATCH):
        storage.set_study_system_attr(study_id, f"{prefix}{generation}", list(range(24)))
    storage.engine.dispose()  # the last connection takes the log into the file, which may then be copied
