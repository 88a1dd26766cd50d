"""Schedules of least predicted error where outputs are forecast and steps skipped: a front that needs no image."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from functools import cache, cached_property, partial
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecad_automl.schedules.forecast import DAMPING, Forecasts, forecast_sources
from ecad_automl.schedules.guidance import BOTH, KEEP, NONE
from ecad_automl.schedules.guidance_errors import GuidanceErrors
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Bits, Schedule
from studies.drift_seeds import MOST
from studies.forecast_paths import best_paths, shared_out

Floats = NDArray[np.float64]


#: Mean squares, over that of the outputs, of the errors that computed outputs are taken to bear.
_NOISES = np.geomspace(1e-6, 1.0, 25)

#: How large such errors are after uses that are expected to move the latents by a share ``a``: ``18 a^2.5``, since a
#: transformer makes more of large errors than of small ones. Chosen on captions of searches of the two bundled models,
#: with samplers of first and second order and savings from 1.3x to 4x (``benchmarks/search/damping_constants.py``).
NOISE = (18.0, 2.5)

#: Weights below this are none.
_NO_WEIGHT = 1e-6

#: Groups of slots whose steps are chosen together, which takes memory.
_AT_ONCE = 16

#: Schedules of a quick front cost at least this share of the MACs: below it, images of the bundled models fall apart.
_LEAST = 0.2


#: Of each number of steps that are run, so many choices of those with both guidance branches.
_GUIDED = 8


class _Choice(NamedTuple):
    """What to do, but for damping.

    Args:
        compute: ``(steps, slots)``.
        skip: ``(steps,)``.
        both: ``(steps,)``: where both guidance branches are computed; wherever steps are run if None.
    """

    compute: Bits
    skip: Bits
    both: Bits | None = None


class _Uses(NamedTuple):
    """Where cached outputs are read: ``(n,)`` steps, rows (the last is the transformer's output), and sources.

    The same source twice where only the first step was computed.
    """

    steps: NDArray[np.intp]
    rows: NDArray[np.intp]
    last: NDArray[np.intp]
    before: NDArray[np.intp]

    @classmethod
    def of(cls, schedule: Schedule) -> _Uses:
        steps, rows = np.nonzero(schedule.used)
        return cls(steps, rows, *_twice(schedule.sources[:, steps, rows]))

    @classmethod
    def of_skips(cls, skip: Bits, row: int) -> _Uses:
        """Of a schedule that runs whole steps, as :meth:`of` would say, which takes longer."""
        steps = np.flatnonzero(skip)
        return cls(steps, np.full(len(steps), row), *_twice(forecast_sources(~skip)[:, steps]))


class ForecastSeeds:
    """Makes schedules whose uses have the least summed error that is expected before any image is made.

    The drift knows of errors along the uncached run. Under a schedule what is computed already bears the errors of the
    uses before it, and a forecast carries these on, the more the further it extrapolates: undamped, schedules that save
    more than twofold collapse, with all the less error by the drift. So steps and levels of damping are chosen for
    outputs that bear errors of the size which that choice leads to. Errors of steps add up in one direction, so this
    size is that of their sum, not the sum of their squares: many small uses count for little, a few large ones damp.

    Args:
        forecasts: of an uncached run.
        layout: the slots.
        guidance: errors of guidance by one branch alone; None where schedules are to leave guidance as it is.
        noise: ``c`` and ``p`` of the errors ``c a^p`` that outputs bear after uses that move the latents by ``a``.
    """

    def __init__(
        self,
        forecasts: Forecasts,
        layout: Layout,
        guidance: GuidanceErrors | None = None,
        noise: tuple[float, float] = NOISE,
    ) -> None:
        self._forecasts, self._layout, self._guidance, self._noise = forecasts, layout, guidance, noise
        self._errors, self._carried = forecasts.expected_errors(), forecasts.carried_noise()

    @cached_property
    def _run(self) -> Bits:
        """``(noises, steps, steps)``: the best choice of 1 step to run, of 2 and so on to all."""
        return self._paths(np.ones(self._forecasts.steps))

    def _paths(self, weights: Floats) -> Bits:
        """See :attr:`_run`, with errors at steps weighted ``(steps,)``."""
        error = self._errors[:, -1] + _NOISES[:, None, None, None, None].astype(np.float32) * self._carried[:, -1]
        return best_paths(error.min(axis=1) * weights[:, None, None].astype(np.float32))[1]

    @cached_property
    def skipping(self) -> tuple[Schedule, ...]:
        """The best choice of 1 step to run whole, of 2 and so on to all; the others are skipped."""
        return self._skipping(self._run)

    def skipping_by(self, power: float) -> tuple[Schedule, ...]:
        """As :attr:`skipping`, if errors counted by another power of the scheduler's response; they do by its first.

        How much of an early error is left in the image differs between models and samplers.
        """
        weights = self._forecasts.step_weights(power) / np.maximum(self._forecasts.step_weights(1.0), _NO_WEIGHT)
        return self._skipping(self._paths(weights))

    def _skipping(self, run: Bits) -> tuple[Schedule, ...]:
        everything = np.ones((self._forecasts.steps, len(self._layout)), dtype=np.bool_)

        def choice(place: int, count: int) -> _Choice:
            return _Choice(everything, ~run[place, count])

        return tuple(self._settled(partial(choice, count=count)) for count in range(self._forecasts.steps))

    @cached_property
    def guiding(self) -> tuple[Schedule, ...]:
        """Such choices with both guidance branches in some of the steps that are run, from a third of them on.

        None where guidance is to be left as it is.
        """
        if self._guidance is None:
            return ()
        errors, steps = self._guidance, self._forecasts.steps
        everything = np.ones((steps, len(self._layout)), dtype=np.bool_)

        @cache
        def paths(place: int, count: int) -> Bits:
            """``(count, steps)``: of as many steps that are run the best with both branches: 1, 2 and so on to all."""
            run = np.flatnonzero(self._run[place, count - 1])
            own = (errors.error + _NOISES[place] * errors.carried).min(axis=0) * self._lasting(run)[:, None, None]
            chosen = best_paths(own[np.ix_(run, run, run)][None])[1][0]
            both = np.zeros((count, steps), dtype=np.bool_)
            both[:, run] = chosen
            return both

        def choice(place: int, count: int, guided: int) -> _Choice:
            return _Choice(everything, ~self._run[place, count - 1], paths(place, count)[guided - 1])

        return tuple(
            self._settled(partial(choice, count=count, guided=int(guided)))
            for count in range(2, steps + 1)
            for guided in np.unique(np.linspace(-(-count // 3), count - 1, _GUIDED).round())
        )

    def unguided(self, schedule: Schedule) -> Schedule:
        """The same, but without guidance where it computes one branch alone.

        By the drift a kept difference is off by less than none. But late in a run of few steps it bears errors that
        guidance multiplies: with one of two samplers none loses half as much there (docs/tried.md).
        """
        actions = np.where(schedule.guidance.alone, NONE, schedule.guidance.actions)
        return Schedule(self._layout, schedule.compute, schedule.skip, schedule.damping, self._forecasts, actions)

    def _lasting(self, run: NDArray[np.intp]) -> Floats:
        """``(steps,)``: the scheduler's response to an output of each step that is run, and to what is made of it.

        A step that is skipped goes on with the guided outputs before it.
        """
        weights = np.zeros(self._forecasts.steps)
        weights[run] = np.add.reduceat(self._forecasts.step_weights(1.0), run)
        return weights

    def using(self, prices: ArrayLike, count: int, groups: ArrayLike | None = None) -> list[Schedule]:
        """Schedules that skip no step but forecast slots.

        Args:
            prices: ``(slots,)``: what one computation of each costs, not negative; all alike where none costs anything.
            count: how many schedules are wanted, evenly spread in the logarithm of their cost.
            groups: ``(slots,)`` integers from 0: slots of one group share their compute steps; None ties no slots.

        Returns:
            Distinct schedules, from dear to cheap; ``count`` unless there are not that many.
        """
        steps, component = self._forecasts.steps, self._layout.component_index
        group = np.arange(len(self._layout)) if groups is None else np.asarray(groups)
        price = np.asarray(prices, dtype=np.float64)
        price = np.maximum(price, 1e-3 * price.max()) if price.any() else np.ones(len(group))
        targets = np.geomspace(max(MOST, 1 / steps), 1 / steps, count) * price.sum() * steps
        no_skip = np.zeros(steps, dtype=np.bool_)

        @cache
        def best(place: int) -> tuple[Bits, NDArray[np.intp]]:
            noise = np.float32(_NOISES[place])

            def of_groups(some: NDArray[np.intp]) -> NDArray[np.float32]:
                error = np.zeros((len(some), steps, steps, steps), dtype=np.float32)
                for index, one in enumerate(some):
                    for kind in np.unique(component[group == one]):
                        members = np.flatnonzero((group == one) & (component == kind))
                        of_levels = self._errors.summed(members) + noise * len(members) * self._carried[:, kind]
                        error[index] += of_levels.min(axis=0)
                return error

            every = np.arange(group.max() + 1)
            parts = [best_paths(of_groups(some)) for some in np.split(every, every[_AT_ONCE::_AT_ONCE])]
            least, chosen = (np.concatenate(each) for each in zip(*parts, strict=True))
            return chosen, shared_out(least, np.bincount(group, weights=price), targets)

        def choice(place: int, target: int) -> _Choice:
            chosen, shared = best(place)
            return _Choice(chosen[group, shared[target][group] - 1].T, no_skip)

        return list(dict.fromkeys(self._settled(partial(choice, target=target)) for target in range(len(targets))))

    def predicted_error(self, schedule: Schedule) -> float:
        """The summed error to expect of a schedule: of the transformer's output, by the scheduler's response.

        Errors of slots partly add up: they count as their sum over the root of the number of slots, at which schedules
        that skip and schedules that use slots look as good as they are on the bundled model.
        """
        own, carried = self._by_step(_Uses.of(schedule), schedule.damping, schedule.skip, schedule.guidance.actions)
        for noise in _NOISES:
            error = own + noise * carried
            if self._noise_after(error) <= noise:
                break
        return float(error.sum())

    def _settled(self, choice: Callable[[int], _Choice]) -> Schedule:
        """What is best for errors of the size that it leads to.

        Args:
            choice: the best for one of the noises.
        """

        def is_enough(place: int) -> bool:
            made, noise = choice(place), _NOISES[place]
            uses = self._uses(made)
            actions = self._least(made.both, made.skip, noise)
            own, carried = self._by_step(uses, self._levels(uses, noise), made.skip, actions)
            return bool(self._noise_after(own + noise * carried) <= noise)

        place = min(bisect_left(range(len(_NOISES)), True, key=is_enough), len(_NOISES) - 1)
        made, noise = choice(place), _NOISES[place]
        levels, actions = self._levels(self._uses(made), noise), self._least(made.both, made.skip, noise)
        return Schedule(self._layout, made.compute, made.skip, levels, self._forecasts, actions)

    def _noise_after(self, error: Floats) -> float:
        """The noise that errors ``(steps,)`` are expected to lead to."""
        moved = np.sqrt(error * self._forecasts.step_weights(1.0)).mean()
        factor, power = self._noise
        return float(factor * moved**power)

    def _uses(self, choice: _Choice) -> _Uses:
        if choice.compute.all():
            return _Uses.of_skips(choice.skip, len(self._layout))
        return _Uses.of(Schedule(self._layout, choice.compute, choice.skip))

    def _levels(self, uses: _Uses, noise: float) -> NDArray[np.intp]:
        """``(steps, components + 1)``: of least error for each step and component."""
        steps, rows, last, before = uses
        error = np.zeros((len(DAMPING), self._forecasts.steps, len(self._layout.components) + 1))
        group = self._forecasts.group[rows]
        for level, of_level in enumerate(error):
            own = self._errors[level, rows, steps, last, before]
            np.add.at(of_level, (steps, group), own + noise * self._carried[level, group, steps, last, before])
        found: NDArray[np.intp] = error.argmin(axis=0)
        return found

    def _least(self, both: Bits | None, skip: Bits, noise: float) -> NDArray[np.intp] | None:
        """``(steps,)``: the guidance actions of least error where both branches are computed at some steps alone."""
        if both is None or self._guidance is None:
            return None
        place = slice(None), np.arange(len(both)), *_twice(forecast_sources(both))
        actions = KEEP + (self._guidance.error[place] + noise * self._guidance.carried[place]).argmin(axis=0)
        return np.where(both | skip, BOTH, actions)

    def _by_step(
        self, uses: _Uses, levels: NDArray[Any], skip: Bits, actions: NDArray[Any] | None
    ) -> tuple[Floats, Floats]:
        """Errors of uses and of guidance ``(steps,)`` without noise, and how much of it they carry."""
        steps, rows, last, before = uses
        group = self._forecasts.group[rows]
        level = levels[steps, group]
        share = np.where(rows == len(self._layout), 1.0, 1.0 / np.sqrt(len(self._layout)))
        found = np.zeros((2, self._forecasts.steps))
        np.add.at(found[0], steps, share * self._errors[level, rows, steps, last, before])
        np.add.at(found[1], steps, share * self._carried[level, group, steps, last, before])
        if actions is not None and actions.any() and self._guidance is not None:
            run = np.flatnonzero(~skip)
            alone = run[actions[run] != BOTH]
            sources = _twice(forecast_sources(~skip & (actions == BOTH))[:, alone])
            place = actions[alone].astype(np.intp) - KEEP, alone, *sources
            found[:, alone] += self._lasting(run)[alone] * np.stack([each[place] for each in self._guidance])
        return found[0], found[1]


def quick_schedules(seeds: ForecastSeeds, layout: Layout, count: int = 8) -> list[tuple[Schedule, float]]:
    """Those that skip steps, and some that use slots, as far as none beats another in MACs and predicted error.

    Args:
        seeds: what makes them.
        layout: the slots.
        count: how many of each kind that uses slots to try.

    Returns:
        Schedules with predicted errors, from dear to cheap: from one that leaves out anything at all to about a fifth
        of the MACs.
    """
    using = [seeds.using(layout.slot_macs, count, groups) for groups in (layout.component_index, None)]
    return least_error_front(seeds, (*seeds.skipping, *seeds.guiding, *chain.from_iterable(using)))


def least_error_front(seeds: ForecastSeeds, schedules: Iterable[Schedule]) -> list[tuple[Schedule, float]]:
    """Of some schedules those that no other one beats in MACs and predicted error, see :func:`quick_schedules`."""
    tried = {each: seeds.predicted_error(each) for each in schedules}
    front: list[tuple[Schedule, float]] = []
    best = np.inf
    for schedule in sorted(tried, key=lambda each: (each.macs, tried[each])):
        if tried[schedule] < best and _LEAST <= schedule.mac_fraction < 1.0:
            best = tried[schedule]
            front.append((schedule, best))
    return front[::-1]


def _twice(sources: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Of ``(2, ...)`` sources the last, and the one before it; the last again where there is none."""
    last, before = sources
    return last, np.where(before < 0, last, before)
