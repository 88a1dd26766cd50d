"""Whole runs timed in turn until their times agree."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from ecad_automl.judging.times import Times
from ecad_automl.latency.result import spread
from ecad_automl.latency.timing import interleaved

_FEWEST, _MOST = 3, 7
_AGREE = 0.05  # between the quartiles of the speedup, relative to its median
_SECONDS = 30.0


def time_in_turn(
    names: Sequence[str],
    run: Callable[[str], object],
    once: Mapping[str, float],
    *,
    now: Callable[[], float] = time.perf_counter,
) -> dict[str, Times]:
    """Time runs in rounds of a drawn order, until they agree or the next round would end after half a minute.

    Args:
        names: the runs, the uncached one first.
        run: makes a run to its end, by its name.
        once: seconds of the first run of each, which also prepared it. They tell how long a round takes, and are what
            is given back where not even one round fits.
        now: seconds.
    """

    def measure(name: str) -> float:
        start = now()
        run(name)
        return now() - start

    def times(rounds: Sequence[Mapping[str, float]]) -> dict[str, Times]:
        seconds = {name: tuple(each[name] for each in rounds) for name in names}
        return {name: Times(seconds[name], seconds[names[0]]) for name in names}

    found = times([once])
    begin, expected = now(), sum(once.values())
    rounds: list[Mapping[str, float]] = []
    turns = interleaved(names, measure, _MOST)
    while now() - begin + expected <= _SECONDS and (latest := next(turns, None)) is not None:
        rounds.append(latest)
        expected = sum(latest.values())
        found = times(rounds)
        if len(rounds) >= _FEWEST and all(map(_agree, found.values())):
            break
    return found


def _agree(times: Times) -> bool:
    ratio = spread(times.ratios)
    return ratio.high - ratio.low <= _AGREE * ratio.median
