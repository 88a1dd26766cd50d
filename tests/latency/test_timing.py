from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from ecad_automl.latency.timing import Clock, Timing, clock_of, interleaved, time_call


def test_a_call_is_timed_as_a_whole_and_inside_each_forward(ticking: Callable[..., Clock]) -> None:
    first, second = nn.Identity(), nn.Identity()

    def call() -> None:
        for module in (first, first, second):
            module(torch.zeros(1))

    # Six marks, two around each forward.
    assert time_call(call, [first, second], ticking()) == Timing(whole=6.0, transformer=3.0)


def test_time_in_other_hooks_counts_as_time_of_the_transformer() -> None:
    time = 0.0
    clock = Clock(lambda: time, lambda: time, lambda begin, end: end - begin, lambda: None)
    module = nn.Identity()

    def spend(*_: Any) -> None:
        nonlocal time
        time += 5.0

    module.register_forward_pre_hook(spend)
    module.register_forward_hook(spend)
    assert time_call(lambda: module(1), [module], clock).transformer == 10.0


def test_timing_leaves_no_hook_behind_whatever_happens(ticking: Callable[..., Clock]) -> None:
    module = nn.Identity()

    def call() -> None:
        module(1)
        raise RuntimeError("a call that fails")

    with pytest.raises(RuntimeError, match="a call that fails"):
        time_call(call, [module], ticking())
    assert not module._forward_hooks
    assert not module._forward_pre_hooks


def test_the_clock_of_the_cpu_goes_forward() -> None:
    clock = clock_of(torch.device("cpu"))
    begin = clock.mark()
    clock.wait()
    assert clock.between(begin, clock.mark()) >= 0.0


@given(st.integers(1, 6), st.integers(0, 8))
def test_every_round_measures_everything_once(count: int, repeats: int) -> None:
    names = [str(index) for index in range(count)]
    asked: list[str] = []

    def measure(name: str) -> int:
        asked.append(name)
        return len(asked)

    rounds = list(interleaved(names, measure, repeats))
    assert len(rounds) == repeats
    for index, found in enumerate(rounds):
        mine = asked[index * count : (index + 1) * count]
        assert sorted(mine) == sorted(names)
        assert list(found) == names
        assert all(asked[number - 1] == name for name, number in found.items())


def test_the_order_changes_from_round_to_round() -> None:
    asked: list[str] = []
    list(interleaved("abcdef", asked.append, 5))
    assert len({tuple(asked[start : start + 6]) for start in range(0, 30, 6)}) > 1


def test_a_round_that_is_broken_off_is_not_told() -> None:
    asked: list[str] = []

    def measure(name: str) -> None:
        asked.append(name)
        if len(asked) == 5:
            raise KeyboardInterrupt

    rounds = interleaved("ab", measure, 10)
    assert [len(next(rounds)), len(next(rounds))] == [2, 2]
    with pytest.raises(KeyboardInterrupt):
        next(rounds)


def test_on_cuda_events_are_recorded_without_waiting_and_told_in_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    class Event:
        def __init__(self, *, enable_timing: bool) -> None:
            assert enable_timing
            self.at = len(done)

        def record(self, stream: str) -> None:
            done.append(f"record on {stream}")

        def elapsed_time(self, later: Event) -> float:
            return 250.0 * (later.at - self.at)

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: f"a stream of {device}")
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: done.append(f"wait for {device}"))
    module = nn.Identity()
    timing = time_call(lambda: (module(1), module(1)), [module], clock_of(torch.device("cuda:1")))
    record = "record on a stream of cuda:1"
    assert done == ["wait for cuda:1", record, record, record, record, "wait for cuda:1"]
    assert timing.transformer == 0.5  # two forwards of 250 milliseconds
