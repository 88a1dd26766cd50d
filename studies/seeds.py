"""The first schedules of a search: the uncached run, known ones, published heuristics and those of least drift."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from ecad_automl.schedules.drift import Drift
from ecad_automl.schedules.heuristics import default_heuristics
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule
from studies.config import SearchConfig
from studies.cost import Cost
from studies.drift_seeds import mixed_drift_seeds, step_paths
from studies.forecast_seeds import ForecastSeeds, least_error_front

UNCACHED = "uncached"
ALL_REUSE = "all-reuse"

#: Powers of the scheduler's response by which errors may count.
_POWERS = (0.5, 1.5, 2.0)
#: Of at most so many steps, runs of every smaller number are searched.
_EVERY_COUNT = 28
#: Seeds that cost less than this share of the shortest uncached run are too poor to be of interest.
_LEAST = 0.8
#: On six sets of prompts drift-optimal schedules in place of TGATE, PAB and the like were the better start
#: (docs/tried.md).
_FORA = ("fora-2", "fora-3", "fora-5")
#: To breed from.
_FEWEST = 2


def searched_steps(steps: int, share: float | None = None) -> list[int]:
    """Step counts of the shorter runs that are searched: all from a share of the steps on.

    Of long runs these are only those that the calibration makes anyway; what lies between is little better there.

    Args:
        steps: of the uncached run.
        share: above 0, at most 1; that of the shortest run of the calibration, about a fifth, if None.
    """
    counts = range(2, steps) if steps <= _EVERY_COUNT else fewer_steps(steps)
    least = min(fewer_steps(steps), default=steps) if share is None else share * steps
    return [count for count in counts if count >= least]


def fewer_steps(steps: int) -> list[int]:
    """Step counts of the shorter uncached runs: about 20 to 80 % of the run, distinct.

    At least two: diffusers' PixArt takes a single step for a sign of a distilled model and then fails.
    """
    return sorted({max(2, round(steps * share)) for share in (0.2, 0.3, 0.4, 0.5, 0.65, 0.8)} - {steps})


def reuse_errors(drift: Drift, config: SearchConfig) -> NDArray[np.float64]:
    """``(slots, steps, steps)``: see :meth:`~ecad_automl.schedules.drift.Drift.expected_error`."""
    return drift.expected_error() if config.scaled_drift else drift.distance.astype(np.float64)


def _spread_counts(steps: int, wanted: int) -> list[int]:
    """Numbers of steps from the shortest uncached run to nine tenths, evenly in the logarithm."""
    counts = np.geomspace(min(fewer_steps(steps), default=1), 0.9 * steps, wanted).round().astype(int)
    chosen = np.unique(counts.clip(1, steps))
    # Ranks by their digits in reverse (van der Corput): any beginning is spread over all.
    order = sorted(range(len(chosen)), key=lambda rank: f"{rank:016b}"[::-1])
    return [int(chosen[rank]) for rank in order]


def all_reuse(layout: Layout, steps: int) -> Schedule:
    """The cheapest schedule: everything is computed in the first step and reused ever after."""
    compute = np.zeros((steps, len(layout)), dtype=np.bool_)
    return Schedule(layout, compute)


def first_schedules(
    layout: Layout,
    drift: Drift,
    config: SearchConfig,
    cost: Cost,
    known: Mapping[str, Schedule] | None = None,
    forecasting: ForecastSeeds | None = None,
) -> dict[str, Schedule]:
    """Named seeds, distinct by effect: the uncached run, known schedules, and as configured the rest.

    With forecasts, whole steps are skipped rather than reused slot by slot, and slots are forecast; a few seeds reuse.
    Where guidance may be by one branch alone, some have that.

    Those that cost much less than the shortest uncached run are left out. Where next to none are left, the cheapest
    schedule there is joins them. Known schedules come first: they are the best that is known.
    """
    steps = drift.steps
    named = {UNCACHED: Schedule.all_compute(layout, steps), **(known or {})}
    heuristics = config.heuristics or ("fora" if forecasting is None else "none")
    if heuristics != "none":
        named |= {
            name: schedule
            for name, schedule in default_heuristics(layout, steps).items()
            if heuristics == "all" or name in _FORA
        }
    reusing_steps, reusing_slots = config.step_seeds, config.drift_seeds
    if forecasting is not None:
        named |= _forecasting(forecasting, layout, steps, config, cost)
        reusing_steps, reusing_slots = 0, 0
    if reusing_steps:
        # Where all slots go together, what the whole transformer gives is all that matters. The sampler's response, a
        # help where slots go their own ways, led to worse steps here.
        error = drift.distance.mean(axis=0) if drift.output is None else drift.output
        chosen = step_paths(error.astype(np.float64))
        for count in _spread_counts(steps, reusing_steps):
            compute = np.repeat(chosen[count - 1][:, None], len(layout), axis=1)
            named[f"drift-steps-{count}"] = Schedule(layout, compute)
    if reusing_slots:
        bits = mixed_drift_seeds(reuse_errors(drift, config), cost.prices, layout.component_index, reusing_slots)
        named |= {f"drift-{index}": Schedule(layout, row) for index, row in enumerate(bits, start=1)}
    least = least_of_interest(cost, steps)
    distinct: dict[Schedule, str] = {}
    for name, schedule in named.items():
        if cost.of(schedule) >= least:
            distinct.setdefault(schedule, name)
    if len(distinct) < _FEWEST:
        distinct.setdefault(all_reuse(layout, steps), ALL_REUSE)
    return {name: schedule for schedule, name in distinct.items()}


#: Of a shorter run, the share of its steps that its one seed beside the uncached run does not skip.
_RUN_SHARE = 0.8


def shorter_schedules(
    layout: Layout, counts: Collection[int], cost: Cost, forecasting: Mapping[int, ForecastSeeds], least: float
) -> dict[str, Schedule]:
    """Named seeds of runs of fewer steps: each uncached, which needs no new image, and one that skips a few steps.

    Args:
        layout: the slots.
        counts: numbers of steps, of runs that the calibration makes anyway.
        cost: what is minimized.
        forecasting: by number of steps; without it no step is skipped.
        least: what costs less, and would need images, is left out.
    """
    named: dict[str, Schedule] = {}
    for count in sorted(counts, reverse=True):
        named[f"{count} steps"] = Schedule.all_compute(layout, count)
        run = max(1, round(_RUN_SHARE * count))
        if count in forecasting and run < count:
            skipping = forecasting[count].skipping[run - 1]
            if cost.of(skipping) >= least:
                named[f"{count}-steps-skip-{count - run}"] = skipping
    return named


def ready_schedules(
    layout: Layout, forecasting: Mapping[int, ForecastSeeds], cost: Cost, least: float
) -> list[Schedule]:
    """Plans of least predicted error: how many steps to take, to run, and to run with both guidance branches.

    Among them are some for which errors count by other powers of the scheduler's response than is taken for best
    before any image: the surrogate sees which of these are better.

    Args:
        layout: the slots.
        forecasting: by number of steps.
        cost: what is minimized.
        least: what costs less is left out.
    """
    found = []
    for count, seeds in forecasting.items():
        front = [schedule for schedule, _ in least_error_front(seeds, (*seeds.skipping, *seeds.guiding))]
        found += [Schedule.all_compute(layout, count), *front]
        found += [seeds.unguided(schedule) for schedule in front if not schedule.guidance.is_full]
        found += chain.from_iterable(map(seeds.skipping_by, _POWERS))
    return [schedule for schedule in dict.fromkeys(found) if cost.of(schedule) >= least]


def least_of_interest(cost: Cost, steps: int) -> float:
    """What seeds must cost at least."""
    return _LEAST * cost.of_steps(min(fewer_steps(steps), default=0))


def _forecasting(
    seeds: ForecastSeeds, layout: Layout, steps: int, config: SearchConfig, cost: Cost
) -> dict[str, Schedule]:
    """Some that skip steps, and where one branch may be left out, some that do; and a few by component and by slot.

    Where one branch is left out, the difference is kept or guidance is none by turns, from the cheapest on. They show
    the surrogate what each of these does: every pool has the others of least predicted error.
    """
    named: dict[str, Schedule] = {}
    by_count = seeds.skipping
    if config.step_seeds:
        for count in _spread_counts(steps, config.step_seeds):
            named[f"skip-{steps - count}"] = by_count[count - 1]
    if config.drift_seeds:
        front = least_error_front(seeds, (*by_count, *seeds.guiding))
        guided = [schedule for schedule, _ in front if not schedule.guidance.is_full]
        spread = guided[:: -max(1, -(-len(guided) // config.drift_seeds))]
        for index, schedule in enumerate(spread, start=1):
            named |= {f"unguided-{index}": seeds.unguided(schedule)} if index % 2 else {f"guided-{index}": schedule}
    slotwise = config.drift_seeds // 2
    by_component = -(-slotwise // 2)
    using: list[Schedule] = []
    for groups, wanted in ((layout.component_index, by_component), (None, slotwise - by_component)):
        # The dearest of an even spread save next to nothing, and the cheapest are poor.
        first = -(-wanted // 2)
        using += seeds.using(cost.prices, 4 * wanted + 1, groups)[first : first + wanted] if wanted else []
    return named | {f"forecast-{index}": schedule for index, schedule in enumerate(using, start=1)}
