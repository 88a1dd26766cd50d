"""What a search with the public interface finds on a test bed, as contestants on held-out captions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import ecad_automl
from benchmarks.search.bed_runs import at, figures_of
from benchmarks.search.beds import Bed, model_of
from benchmarks.search.contestant import Contestant
from benchmarks.search.protocol import SPEEDUPS, best_within, compare, loss_of
from ecad_automl.bundled import BUNDLED
from ecad_automl.judging.evaluation import Evaluator
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule
from studies.config import SearchConfig

__all__ = ["HEAD", "needing_no_search", "rows", "searched_contestants", "searched_front"]

#: Of a table of :func:`rows`, in Markdown.
HEAD = (
    "| at least | run | saved | median loss | mean (95 %) | worst tenth | PSNR, dB | more than `search` (95 %) |",
    "|---|---|---|---|---|---|---|---|",
)


def searched_front(bed: Bed, database: Path, config: SearchConfig, **options: Any) -> list[tuple[Schedule, float]]:
    """What a search on a bed has evaluated whole that no other candidate beats there: schedules and rewards.

    Args:
        bed: it.
        database: of the search, which goes on there.
        config: of the search.
        **options: see :func:`~ecad_automl.search`.
    """
    database.parent.mkdir(parents=True, exist_ok=True)
    front = ecad_automl.search(
        model_of(bed),
        BUNDLED[bed.model].prompts("calibration", bed.captions),
        reward=bed.reward,
        storage=database,
        images_per_prompt=len(bed.noises),
        config=config,
        **options,
    )
    return [(point.schedule, float(point.reward)) for point in front if point.reward is not None]


def searched_contestants(
    method: str, front: list[tuple[Schedule, float]], evaluator: Evaluator, layout: Layout, made_by: str
) -> dict[str, Contestant]:
    """By name, what stands for a search at each saving: the best reward in the search at equal or lower cost.

    Args:
        method: name of the search.
        front: what it has found.
        evaluator: of the captions that they are run on.
        layout: the slots.
        made_by: the module that runs it.
    """
    steps = evaluator.settings.steps
    costs, rewards = [schedule.gmacs for schedule, _ in front], [reward for _, reward in front]
    found = {}
    for speedup in SPEEDUPS:
        best = best_within(costs, rewards, steps * layout.step_macs / 1e9, speedup)
        if best is not None:
            schedule = front[best][0]
            make = partial(evaluator.generate, schedule, steps=schedule.steps)
            saved = 1 / schedule.mac_fraction_of(steps)
            found[f"{method}, {speedup:g}x"] = Contestant(method, (made_by,), make, saved)
    return found


def needing_no_search(runs: Mapping[str, Any], speedup: float, methods: Iterable[str]) -> dict[str, Any]:
    """By name, the kept run of each method at a saving; None where it has none."""
    names = {method: at(runs, method, speedup) if runs else None for method in methods}
    return {name or method: None if name is None else runs[name] for method, name in names.items()}


def rows(speedup: float, named: Mapping[str, Any], whole: str) -> list[str]:
    """Lines of a table on runs at one saving, on the captions that all of them have.

    Args:
        speedup: the saving.
        named: kept runs by name; None for what there is not. Captions of one are the first of those of any other. With
            ``means`` where a run stands for several seeds, the mean loss of each.
        whole: name of the run that the others are compared with.
    """
    found = {name: figures_of(run) for name, run in named.items() if run is not None}
    captions = min((len(each.loss) for each in found.values()), default=0)
    lines = []
    for name, figures in found.items():
        means = named[name].get("means", ())
        by_seed = f"; seeds {min(means):.4f} to {max(means):.4f}" if len(means) > 1 else ""
        loss, beside, psnr = loss_of(figures.loss[:captions]), "", np.median(figures.psnr[:captions])
        if name != whole and whole in found:
            first, second = (each.loss[:captions].mean(axis=1, keepdims=True) for each in (found[whole], figures))
            more = compare(first, second)
            beside = f"{-more.difference:+.4f} ({-more.high:+.4f} to {-more.low:+.4f})"
        lines.append(
            f"| {speedup:g}x | {name} | {named[name]['saved']:.2f}x | {loss.median:.4f} | {loss.mean:.4f} "
            f"({loss.low:.4f} to {loss.high:.4f}{by_seed}) | {loss.worst_tenth:.3f} | {psnr:.1f} | {beside} |"
        )
    return lines
