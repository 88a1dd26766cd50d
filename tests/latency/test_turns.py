"""Times that are told are known: all runs in turn, repeated until they agree."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ecad_automl.judging.times import Times
from ecad_automl.latency.turns import time_in_turn

ONCE = {"uncached": 2.0, "cached": 1.0}


class MadeUp:
    """A clock that goes on by what runs take."""

    def __init__(self, seconds: Callable[[str, int], float]) -> None:
        self.ran: list[str] = []
        self._now = 0.0
        self._seconds = seconds

    def run(self, name: str) -> None:
        self.ran.append(name)
        self._now += self._seconds(name, self.ran.count(name))

    def times(self, once: dict[str, float] = ONCE) -> dict[str, Times]:
        return time_in_turn(list(once), self.run, once, now=lambda: self._now)


def test_runs_that_agree_are_timed_three_times_in_turn() -> None:
    machine = MadeUp(lambda name, _: ONCE[name])
    times = machine.times()
    assert [set(machine.ran[start : start + 2]) for start in (0, 2, 4)] == [set(ONCE)] * 3
    assert len(machine.ran) == 6
    assert times["cached"].speedup_told == "2.00x as fast (2.00 to 2.00, 3 runs each)"
    assert times["cached"].told == "1 s (median of 3 runs)"


def test_runs_that_do_not_agree_are_repeated_and_their_range_is_said() -> None:
    machine = MadeUp(lambda name, number: ONCE[name] * (1 + number % 2 * (name == "cached")))
    times = machine.times()
    assert len(machine.ran) == 14
    assert times["cached"].speedup_told == "1.0x as fast (1.0 to 2.0, 7 runs each)"


def test_one_slow_round_among_many_does_not_keep_them_from_agreeing() -> None:
    machine = MadeUp(lambda name, number: ONCE[name] * (9 if number == 2 and name == "uncached" else 1))
    low, high = machine.times()["cached"].to_dict()["speedup_range"]
    assert (low, high) == pytest.approx((2.0, 18.0))
    assert len(machine.ran) < 14


def test_no_round_begins_that_would_end_after_half_a_minute() -> None:
    machine = MadeUp(lambda name, _: 6 * ONCE[name])
    assert machine.times({"uncached": 12.0, "cached": 6.0})["cached"].to_dict() == {
        "seconds": 6.0,
        "times_measured": 1,
        "speedup": None,
        "speedup_range": None,
    }
    assert len(machine.ran) == 2


def test_what_was_run_once_has_no_ratio() -> None:
    machine = MadeUp(lambda name, _: 100 * ONCE[name])
    times = machine.times({"uncached": 203.0, "cached": 101.0})
    assert not machine.ran
    assert times["cached"].told == "100 s (run once)"
    assert times["cached"].speedup_told == ""
