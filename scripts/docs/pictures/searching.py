"""Pictures of the front, and of how the surrogate and the race work on real evaluations."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ecad_automl.schedules.schedule import Schedule
from ecad_automl.views.plots.front_plot import speedup_axis
from scripts.docs.pictures.study import Study
from scripts.docs.pictures.style import COLORS, INK, MUTED, drawing
from studies.attributes import PREDICTED_REWARD, PREDICTED_STD
from studies.breeding import Past, Plan, propose
from studies.config import SearchConfig
from studies.cost import mac_cost
from studies.schedule_space import ScheduleSpace, prediction_of
from studies.seeds import reuse_errors
from studies.trials import image_share, values_of
from surrogate import LogDrop, find_anchors

__all__ = ["anchors", "front", "prefilter", "trust"]


def front(study: Study, path: Path) -> None:
    """The front, what it dominates, and what it is compared with."""
    found, full = study.front, study.stored.uncached
    floor = study.scale.floor_reward
    on_front = {record.genome for record in found}
    others = [record for record in study.whole() if record.genome not in on_front]
    with drawing(path, 8.4, 4.2) as figure:
        axes = figure.subplots()
        inside = [record for record in found if record.reward >= floor]
        costs = [*(record.gmacs for record in inside), full.gmacs]
        best = np.maximum.accumulate([record.reward for record in inside])
        axes.fill_between(
            costs, [*best, best[-1]], floor, step="post", color=COLORS["candidate"], alpha=0.45, linewidth=0
        )
        axes.text(0.62 * full.gmacs, floor + 0.3 * (full.reward - floor), "hypervolume", color=MUTED, fontsize=10)
        axes.scatter(
            [r.gmacs for r in others], [r.reward for r in others], s=10, color=MUTED, alpha=0.7, label="evaluated"
        )
        axes.step([r.gmacs for r in found], [r.reward for r in found], where="post", color=COLORS["search"], lw=1)
        axes.plot([r.gmacs for r in found], [r.reward for r in found], "o", color=COLORS["search"], ms=4, label="front")
        runs = study.stored.searched_shorter
        axes.plot(
            [r.gmacs for r in runs], [r.reward for r in runs], "s--", ms=4, lw=0.8, color=COLORS["steps"],
            label="fewer steps, uncached",
        )  # fmt: skip
        axes.plot(full.gmacs, full.reward, "*", ms=13, color=COLORS["uncached"], label="uncached")
        chosen = study.chosen(2)
        axes.annotate(
            "export --speedup 2", (chosen.gmacs, chosen.reward), (18, -42), textcoords="offset points", fontsize=8.5,
            arrowprops={"arrowstyle": "->", "color": INK, "lw": 0.8},
        )  # fmt: skip
        axes.plot(full.gmacs, floor, "x", color=COLORS["beaten"], ms=8, mew=2, label="worst of interest")
        span = full.reward - floor
        axes.set_ylim(floor - 0.12 * span, full.reward + 0.12 * span)
        axes.set_xlim(0, 1.03 * full.gmacs)
        axes.set_xlabel("GMACs per image (lower is better)")
        axes.set_ylabel("mean reward (higher is better)")
        speedup_axis(axes, full.gmacs)
        axes.legend(loc="lower right", bbox_to_anchor=(0.99, 0.1))


def prefilter(study: Study, path: Path) -> None:
    """A generation: the children that were bred, what the surrogate expects of them, and which it chooses."""
    plan = _generation(study)
    cost = np.array([proposal.candidate.gmacs for proposal in plan.proposals])
    expected = np.array([proposal.predicted[PREDICTED_REWARD] for proposal in plan.proposals], dtype=np.float64)
    low, high = _interval(study, plan)
    config = SearchConfig()
    chosen = np.array([proposal.filtered for proposal in plan.proposals])
    drawn = np.zeros(len(chosen), dtype=np.bool_)
    drawn[np.flatnonzero(~chosen)[: config.unfiltered]] = True
    rest = ~chosen & ~drawn
    full, floor = study.stored.uncached, study.scale.floor_reward
    span = full.reward - floor
    with drawing(path, 8.4, 3.9) as figure:
        axes = figure.subplots()
        axes.scatter(
            cost[rest], expected[rest], s=9, color=MUTED, alpha=0.55, linewidth=0,
            label=f"{rest.sum()} children that are not evaluated",
        )  # fmt: skip
        axes.step(
            [r.gmacs for r in study.front], [r.reward for r in study.front], where="post", color=COLORS["search"],
            lw=1.2, label="front so far (measured)",
        )  # fmt: skip
        for mask, color, marker, label in (
            (chosen, COLORS["beaten"], "D", f"{chosen.sum()} that the surrogate chooses"),
            (drawn, COLORS["steps"], "s", f"{drawn.sum()} drawn by lot"),
        ):
            axes.errorbar(
                cost[mask], expected[mask], [expected[mask] - low[mask], high[mask] - expected[mask]], fmt=marker, ms=5,
                color=color, elinewidth=1, capsize=2, label=label,
            )  # fmt: skip
        lowest = min(floor, *expected[chosen | drawn])
        axes.set_ylim(lowest - 0.05 * span, full.reward + 0.06 * span)
        axes.set_xlim(0, 1.03 * full.gmacs)
        axes.set_xlabel("GMACs per image (exact)")
        axes.set_ylabel("predicted mean reward")
        speedup_axis(axes, full.gmacs)
        axes.legend(loc="lower right")


def anchors(study: Study, path: Path) -> None:
    """What a few images tell of the mean of all, on schedules from which it was not learned."""
    records = study.whole()
    drops = study.uncached - study.image_scores(records)
    inside = drops.mean(axis=1) < 2 * study.scale.span
    drops = drops[inside]
    scale = LogDrop(study.scale.uncached_reward, study.scale.span)
    half = len(drops) // 2
    found = find_anchors(drops[:half], scale)
    assert found is not None, "half of the images do not tell the mean of all"
    later = drops[half:]
    told = later[:, found.images] @ found.weights
    first = later[:, : len(found.images)].mean(axis=1)
    real = later.mean(axis=1)
    with drawing(path, 8.4, 3.4) as figure:
        left, right = figure.subplots(1, 2, width_ratios=[1.25, 1])
        share = drops.mean(axis=0)
        colors = [COLORS["beaten"] if image in found.images else COLORS["candidate"] for image in range(len(share))]
        left.bar(range(len(share)), share, color=colors)
        left.set_title(f"{len(found.images)} anchors (orange) among {len(share)} images")
        left.set_xlabel("image of the search")
        left.set_ylabel("mean drop of reward\nover all schedules")
        both = [0.0, 1.05 * float(max(real.max(), told.max()))]
        right.plot(both, both, color=MUTED, lw=0.8)
        right.plot(real, first, "o", ms=3.5, mfc="none", color=MUTED, label=f"mean of the first {len(found.images)}")
        right.plot(real, told, "o", ms=4, color=COLORS["beaten"], label="told by the anchors")
        right.set_xscale("symlog", linthresh=0.01)
        right.set_yscale("symlog", linthresh=0.01)
        right.set_title(f"{len(real)} later schedules")
        right.set_xlabel("drop over all images")
        right.set_ylabel("drop as told")
        right.legend(loc="upper left")


def trust(study: Study, path: Path) -> None:
    """Predicted drops beside measured ones, and the figures that the search derives from them."""
    trials = [t for t in study.trials if "predicted_reward" in t.user_attrs and image_share(t) == 1.0]
    prediction = prediction_of(trials, study.scale)
    uncached = study.scale.uncached_reward
    expected = uncached - prediction.reward
    measured = uncached - np.array([values_of(trial)[0] for trial in trials])
    low, high = _quantiles(prediction.scale, prediction.loss, prediction.loss_std)
    bounds = [uncached - high, uncached - low]
    drawn = np.array([not trial.user_attrs["filtered"] for trial in trials])
    generations = [g for g in study.stored.generations if g.rank_correlation is not None]
    with drawing(path, 8.4, 3.6) as figure:
        left, right = figure.subplots(1, 2, width_ratios=[1.15, 1])
        for mask, color, label in (
            (~drawn, COLORS["search"], "chosen by the surrogate"),
            (drawn, COLORS["steps"], "drawn by lot"),
        ):
            left.errorbar(
                measured[mask], expected[mask], [expected[mask] - bounds[0][mask], bounds[1][mask] - expected[mask]],
                fmt="o", ms=3.5, elinewidth=0.6, color=color, label=label, alpha=0.9,
            )  # fmt: skip
        ends = [min(0.0, float(measured.min())), float(max(measured.max(), expected.max()))]
        left.plot(ends, ends, color=MUTED, lw=0.8)
        left.set_xscale("symlog", linthresh=0.01)
        left.set_yscale("symlog", linthresh=0.01)
        left.set_xlabel("measured drop of reward")
        left.set_ylabel("predicted, with 90 % interval")
        left.set_title(f"{len(trials)} candidates, predicted before they were evaluated")
        left.legend(loc="upper left")
        numbers = [g.generation for g in generations]
        right.plot(numbers, [g.coverage for g in generations], "o-", ms=3, color=COLORS["heuristic"], label="coverage")
        right.axhline(0.9, color=COLORS["heuristic"], lw=0.8, ls=":")
        right.plot(
            numbers, [g.rank_correlation for g in generations], "o-", ms=3, color=COLORS["search"],
            label="rank correlation at equal cost",
        )  # fmt: skip
        right.axhline(SearchConfig().min_rank_correlation, color=COLORS["search"], lw=0.8, ls=":")
        right.set_ylim(-0.1, 1.05)
        right.set_xlabel("generation")
        right.xaxis.get_major_locator().set_params(integer=True)
        right.set_title("What the search makes of it")
        right.legend(loc="lower right")


def _generation(study: Study) -> Plan[Schedule]:
    """The generation of schedules that reuse slots in all steps which would come next from those of all steps."""
    layout, config, genomes = study.stored.layout, SearchConfig(), study.stored.genomes
    trials = sorted(
        (each for each in study.trials if genomes.steps_of(each.user_attrs["genome"]) == genomes.steps),
        key=lambda trial: str(trial.user_attrs["genome"]),
    )
    records = {record.genome: record for record in study.records}
    schedules = [study.schedule(records[trial.user_attrs["genome"]]) for trial in trials]
    reward, cost = np.array([values_of(trial) for trial in trials]).T
    errors = reuse_errors(study.drift, config)
    space = ScheduleSpace(layout, schedules[0].steps, mac_cost(layout), study.scale, errors, seed=config.seed)
    past = Past.of(space.genes(schedules), reward, cost, schedules)
    past = replace(past, share=np.array([image_share(trial) for trial in trials]))
    parents = [study.schedule(run) for run in study.front if run.steps == genomes.steps]
    return propose(space, past, parents, config, np.random.default_rng(0))


def _interval(study: Study, plan: Plan[Schedule]) -> tuple[Any, Any]:
    """90 % intervals of the predicted rewards of a generation."""
    from surrogate import Prediction

    scale = LogDrop(study.scale.uncached_reward, study.scale.span)
    reward = np.array([proposal.predicted[PREDICTED_REWARD] for proposal in plan.proposals], dtype=np.float64)
    std = np.array([proposal.predicted[PREDICTED_STD] for proposal in plan.proposals], dtype=np.float64)
    prediction = Prediction.of_rewards(reward, std, scale)
    return _quantiles(scale, prediction.loss, prediction.loss_std)


def _quantiles(scale: LogDrop, log_drop: Any, log_std: Any) -> tuple[Any, Any]:
    """The rewards at both ends of 90 % intervals: the lower ones first."""
    return scale.reward(log_drop + 1.645 * log_std), scale.reward(log_drop - 1.645 * log_std)
