from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch

from ecad_automl.errors import EvaluationError, ScheduleError
from ecad_automl.latency.bench import Calls, run_bench
from ecad_automl.latency.bench_plan import BenchPlan
from ecad_automl.latency.contenders import Contender, fewer_steps, scheduled, uncached
from ecad_automl.latency.timing import Clock
from ecad_automl.models import model_layout
from ecad_automl.schedules.heuristics import fora

Ticking = Callable[[], Clock]

QUICK = BenchPlan((1,), repeats=3, warmup=1)


def all_of(model: Any) -> list[Contender]:
    schedules = {"fora-2": fora(model_layout(model), 4, 2)}
    return [uncached(4), *scheduled(model.pipe, schedules, 4), *fewer_steps(schedules, 4)]


def broken(message: str, *, required: bool) -> Contender:
    @contextmanager
    def enter() -> Iterator[None]:
        raise ValueError(message)
        yield

    return Contender("broken", "cache", 4, enter, 1.0, required=required)


def test_every_family_is_timed_uncached_under_a_schedule_and_with_fewer_steps(
    any_tiny_model: Any, ticking: Ticking
) -> None:
    result = run_bench(any_tiny_model, all_of(any_tiny_model), BenchPlan((1, 3), 2, 1), clock=ticking())
    assert result.complete
    assert [batch.size for batch in result.batches] == [1, 3]
    for batch in result.batches:
        rows = {row.name: row for row in batch.rows}
        assert list(rows) == ["uncached", "fora-2", "2 steps"]
        # One forward a step, and one second a forward.
        assert rows["uncached"].transformer == rows["fora-2"].transformer == (4.0, 4.0)
        assert rows["2 steps"].transformer == (2.0, 2.0)
        assert batch.efficiency(rows["2 steps"]) == 1.0
        assert rows["uncached"].cache_bytes is None
        assert (rows["fora-2"].cache_bytes or 0) > 0
    cached = [batch.rows[1].cache_bytes for batch in result.batches]
    assert cached[1] == 3 * (cached[0] or 0)
    assert result.about["generation"]["steps"] == 4
    assert result.about["dtype"] == "float32"


def test_a_transformer_benchmark_ends_at_the_latents(tiny_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> torch.Tensor:
        raise AssertionError("decoded")

    monkeypatch.setattr(tiny_model.pipe.vae, "decode", refuse)
    assert run_bench(tiny_model, [uncached(4)], BenchPlan((1,), 1, 1, whole=False)).batches[0].rounds == 1
    with pytest.raises(EvaluationError, match="'uncached' cannot be made .*decoded"):
        run_bench(tiny_model, [uncached(4)], QUICK)


def test_what_cannot_run_is_listed_with_its_reason_unless_it_must_run(tiny_model: Any) -> None:
    result = run_bench(tiny_model, [uncached(4), broken("no such\nlayer", required=False)], QUICK)
    (batch,) = result.batches
    assert [row.name for row in batch.rows] == ["uncached"]
    assert batch.failed == {"broken": "ValueError: no such layer"}
    with pytest.raises(EvaluationError, match=r"'broken' cannot be made \(ValueError: no such layer\)"):
        run_bench(tiny_model, [uncached(4), broken("no such layer", required=True)], QUICK)


def test_our_own_errors_come_through(tiny_model: Any) -> None:
    short = scheduled(tiny_model.pipe, {"short": fora(model_layout(tiny_model), 3, 2)}, 4)[0]
    wrong = Contender("wrong", "schedule", 4, short.enter)
    with pytest.raises(ScheduleError, match="3 steps"):
        run_bench(tiny_model, [uncached(4), wrong], QUICK)


def test_a_rival_that_fails_later_loses_its_row_and_the_others_go_on(tiny_model: Any) -> None:
    entered = 0

    def enter() -> Any:
        nonlocal entered
        entered += 1
        if entered > 2:
            raise RuntimeError("out of memory")
        return nullcontext()

    late = Contender("late", "cache", 4, enter, 1.0, required=False)
    (batch,) = run_bench(tiny_model, [uncached(4), late], QUICK).batches
    assert [row.name for row in batch.rows] == ["uncached"]
    assert batch.rounds == 3
    assert batch.failed == {"late": "RuntimeError: out of memory"}


def test_macs_of_a_rival_are_counted_where_they_are_not_known(tiny_model: Any) -> None:
    half = Contender("half", "cache", 2, nullcontext, required=False)
    (batch,) = run_bench(tiny_model, [uncached(4), half], QUICK).batches
    assert batch.rows[1].mac_speedup == pytest.approx(2.0)


def test_ctrl_c_keeps_the_rounds_that_are_whole(tiny_model: Any) -> None:
    calls = 0

    def stop(_size: int, what: str, _calls: int) -> None:
        nonlocal calls
        calls += not what.startswith("warm-up")
        if calls == 6:  # in the second round of three runs
            raise KeyboardInterrupt

    result = run_bench(tiny_model, all_of(tiny_model), BenchPlan((1, 2), 5, 1), stop)
    assert not result.complete
    (batch,) = result.batches
    assert batch.rounds == 1
    assert all(len(row.transformer) == 1 for row in batch.rows)


def test_ctrl_c_before_the_first_round_leaves_nothing(tiny_model: Any) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    result = run_bench(tiny_model, all_of(tiny_model), QUICK, stop)
    assert not result.complete
    assert result.batches == ()


def test_a_later_batch_size_that_does_not_fit_is_listed(tiny_model: Any) -> None:
    def fail(size: int, _what: str, _calls: int) -> None:
        if size == 2:
            raise EvaluationError("no memory left")

    result = run_bench(tiny_model, [uncached(4)], BenchPlan((1, 2, 3), 1, 1), fail)
    assert [batch.rounds for batch in result.batches] == [1, 0, 1]
    assert result.batches[1].failed == {"uncached": "no memory left"}
    with pytest.raises(EvaluationError, match="no memory left"):
        run_bench(tiny_model, [uncached(4)], BenchPlan((2, 1), 1, 1), fail)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_sizes": (0,)}, "batch size is 0"),
        ({"batch_sizes": (2, 2)}, "each once"),
        ({"repeats": 0}, "0 repeats"),
        ({"warmup": 0}, "0 warm-up calls"),
    ],
)
def test_senseless_numbers_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        BenchPlan(**settings)


def test_the_number_of_calls_is_known_before() -> None:
    assert BenchPlan((1, 4), repeats=3, warmup=2).calls([False, True]) == 2 * ((2 + 3) + (2 + 3 * 2))


def test_calls_made_are_those_foretold(tiny_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    real = Calls.call
    monkeypatch.setattr(Calls, "call", lambda self, size, steps: made.append(steps) or real(self, size, steps))
    plan = BenchPlan((1,), repeats=3, warmup=2)
    contenders = all_of(tiny_model)
    told = 0

    def tell(_size: int, _what: str, calls: int) -> None:
        nonlocal told
        told += calls

    (batch,) = run_bench(tiny_model, contenders, plan, tell).batches
    assert batch.rounds == 3
    assert len(made) == told == plan.calls([contender.changes for contender in contenders])
