from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from ecad_automl.errors import OptionError
from ecad_automl.runtime import Prefixes, ScheduleHandle, apply_schedule
from ecad_automl.runtime.prefixes import Prefix
from ecad_automl.schedules.schedule import Schedule
from tests.runtime.cases import ALL_CASES, Case

STEPS = 5
ENOUGH = 2**30


class Runs:
    """Runs of a pipeline under one schedule after another, all of which share, or none."""

    def __init__(self, case: Case, limit: int | None, **options: Any) -> None:
        self.prefixes = None if limit is None else Prefixes(limit)
        self._case, self._options = case, options
        self.last: ScheduleHandle | None = None

    def __call__(self, schedule: Schedule, **changes: Any) -> torch.Tensor:
        if self.last is None:
            self.last = apply_schedule(self._case.pipe, schedule, prefixes=self.prefixes, **self._options)
        with self.last.switch(schedule):
            return self._case.generate(steps=schedule.steps, **changes)

    @property
    def shared(self) -> int:
        assert self.prefixes is not None
        return self.prefixes.report().shared


def alike(case: Case, count: int, *, seed: int = 0, steps: int = STEPS) -> list[Schedule]:
    """Schedules of which many begin with the same steps."""
    rng = np.random.default_rng(seed)
    parts = rng.random((3, steps, len(case.layout))) < rng.uniform(0.2, 0.7, size=(3, 1, 1))
    made = []
    for _ in range(count):
        first, second = rng.integers(len(parts), size=2)
        cut = rng.integers(1, steps)
        made.append(Schedule(case.layout, np.vstack([parts[first][:cut], parts[second][cut:]])))
    return made


def branching(case: Case, same: int) -> tuple[Schedule, Schedule]:
    """Two schedules that differ in one step only."""
    bits = np.zeros((STEPS, len(case.layout)), dtype=bool)
    bits[0] = bits[2] = True
    other = bits.copy()
    other[same] = ~other[same]
    return Schedule(case.layout, bits), Schedule(case.layout, other)


def test_outputs_are_the_same_to_the_bit(case: Case) -> None:
    check_same_bits(case)


@pytest.mark.parametrize("options", [{"keep_text": False, "fuse": False}, {"cache_dtype": torch.bfloat16}])
def test_outputs_are_the_same_to_the_bit_with(flux: Case, options: dict[str, Any]) -> None:
    check_same_bits(flux, **options)


def check_same_bits(case: Case, **options: Any) -> None:
    plain, sharing = Runs(case, None, **options), Runs(case, ENOUGH, **options)
    schedules = alike(case, 5, seed=len(options))
    for schedule in schedules:
        assert torch.equal(sharing(schedule), plain(schedule))
    assert sharing.shared >= (len(schedules) - 1) * case.calls_per_step  # step 0 at least


@pytest.mark.filterwarnings("ignore::ecad_automl.errors.NoAdapterWarning")
def test_blocks_that_run_whole_share() -> None:
    case = ALL_CASES["prx"]()
    plain, sharing = Runs(case, None), Runs(case, ENOUGH)
    for schedule in alike(case, 4):
        assert torch.equal(sharing(schedule), plain(schedule))
        assert sharing.last is not None
        assert sharing.last.whole_blocks
    assert sharing.shared >= 3


@pytest.mark.parametrize("same", [1, 2, 4])
@pytest.mark.parametrize("name", ["pixart", "flux"])
def test_common_steps_are_computed_once(request: pytest.FixtureRequest, name: str, same: int) -> None:
    case: Case = request.getfixturevalue(name)
    first, second = branching(case, same)
    plain, sharing = (Runs(case, limit, keep_text=False) for limit in (None, ENOUGH))
    plain(first)  # blocks are recorded in the first run
    sharing(first)
    before = flops_before_calls(case, lambda: plain(second))
    after = flops_before_calls(case, lambda: sharing(second))
    first_made = same * case.calls_per_step
    assert sharing.shared == first_made
    assert before[-1] - after[-1] == before[first_made] - before[0] > 0


def flops_before_calls(case: Case, run: Callable[[], object]) -> list[int]:
    """What was counted before each transformer call, and at the end."""
    counts: list[int] = []
    with FlopCounterMode(display=False) as counter:

        def count(*_: object) -> None:
            counts.append(int(counter.get_total_flops()))

        with case.pipe.transformer.register_forward_pre_hook(count):
            run()
        count()
    return counts


@pytest.mark.parametrize(
    ("change", "shared"),
    [
        ("prompt_embeds", 1),  # step 0 of the other guidance branch
        ("pooled_prompt_embeds", 1),
        ({"seed": 1}, 0),
        ({"images": 2}, 0),
        ({"true_cfg_scale": 3.0}, 2),
    ],
)
def test_other_inputs_share_nothing(flux: Case, change: str | dict[str, Any], shared: int) -> None:
    schedule, other = branching(flux, 3)
    plain, sharing = Runs(flux, None), Runs(flux, ENOUGH)
    sharing(schedule)
    if isinstance(change, str):
        value = flux.inputs(1)[change].clone()
        value.view(-1)[-1] += 1e-3
        change = {change: value}
    expected = plain(other, **change)
    assert torch.equal(sharing(other, **change), expected)
    assert sharing.shared == shared


@pytest.mark.parametrize("same", [True, False])
def test_what_a_callback_changes_on_the_way_is_noticed(flux: Case, same: bool) -> None:
    schedule, other = branching(flux, 4)

    def change(_pipe: object, step: int, _time: object, tensors: dict[str, Any]) -> dict[str, Any]:
        if step == 1:
            tensors["latents"].mul_(1.01)
            changed.append(step)
        return tensors

    changed: list[int] = []
    plain, sharing = Runs(flux, None), Runs(flux, ENOUGH)
    sharing(schedule, **({"callback_on_step_end": change} if same else {}))
    expected = plain(other, callback_on_step_end=change)
    assert torch.equal(sharing(other, callback_on_step_end=change), expected)
    assert changed
    assert sharing.shared == (4 if same else 2) * flux.calls_per_step


@pytest.mark.parametrize("change", ["in place", "moved", "hook", "train"])
def test_another_model_shares_nothing(pixart: Case, change: str) -> None:
    schedule, other = branching(pixart, 3)
    plain, sharing = Runs(pixart, None), Runs(pixart, ENOUGH)
    plain(schedule)
    sharing(schedule)
    transformer = pixart.pipe.transformer
    layer = transformer.transformer_blocks[0].ff.net[2]
    with torch.no_grad():
        if change == "in place":
            layer.weight.mul_(1.5)
        elif change == "moved":
            layer.weight.data = layer.weight.data * 1.5
        elif change == "hook":
            layer.register_forward_hook(lambda _module, _args, output: output * 1.5)
        else:
            transformer.train()
    expected = plain(other)
    assert torch.equal(sharing(other), expected)
    assert sharing.shared == 0


def test_memory_stays_below_the_limit(flux: Case) -> None:
    plain, boundless = Runs(flux, None), Runs(flux, ENOUGH)
    schedules = alike(flux, 8)
    for schedule in schedules:
        boundless(schedule)
    assert boundless.prefixes is not None
    limit = boundless.prefixes.nbytes * 2 // 3
    sharing = Runs(flux, limit)
    assert sharing.prefixes is not None
    most = 0
    for schedule in schedules:
        assert torch.equal(sharing(schedule), plain(schedule))
        most = max(most, sharing.prefixes.nbytes)
        assert sharing.prefixes.nbytes == held_bytes(sharing.prefixes) <= limit
    assert most > limit / 2
    assert 0 < sharing.shared < boundless.shared


def held_bytes(prefixes: Prefixes) -> int:
    storages: dict[int, int] = {}
    for held in prefixes._held.values():
        storages |= held.prefix.storages()
    return sum(storages.values())


def test_what_is_asked_for_and_shallow_stays() -> None:
    def prefix(step: int) -> Prefix:
        return Prefix(step, torch.zeros(100), {}, {})

    prefixes = Prefixes(3 * 400)
    assert prefixes.add(b"first", prefix(0))
    assert prefixes.add(b"asked", prefix(4))
    for _ in range(3):
        assert prefixes.find(b"asked")
    for number in range(5):
        assert prefixes.add(b"second %d" % number, prefix(1))
        assert prefixes.nbytes <= prefixes.limit
        assert prefixes.find(b"first")
    assert prefixes.find(b"asked")
    assert not prefixes.find(b"second 3")
    assert prefixes.find(b"second 4")
    assert not prefixes.add(b"deep", prefix(9))
    assert not prefixes.add(b"huge", Prefix(0, torch.zeros(1000), {}, {}))
    assert len(prefixes) == 3


@pytest.mark.parametrize("limit", [0, 1000])
def test_a_step_that_does_not_fit_is_not_shared(case: Case, limit: int) -> None:
    plain, sharing = Runs(case, None), Runs(case, limit)
    assert sharing.prefixes is not None
    for schedule in alike(case, 2, steps=3):
        assert torch.equal(sharing(schedule), plain(schedule))
    assert sharing.shared == len(sharing.prefixes) == 0


def test_a_run_that_is_not_followed_holds_no_more_than_it_reads(flux: Case) -> None:
    schedule = alike(flux, 1)[0]

    def held(limit: int | None) -> list[int]:
        sizes: list[int] = []

        def note(*_: object) -> dict[str, Any]:
            sizes.append(handle.cache_bytes())
            return {}

        prefixes = None if limit is None else Prefixes(limit)
        with apply_schedule(flux.pipe, schedule, prefixes=prefixes) as handle:
            flux.generate(steps=STEPS, callback_on_step_end=note)
        return sizes

    plain = held(None)
    assert len(plain) == STEPS
    assert held(ENOUGH) != plain
    assert held(1000) == plain
    # One guidance branch is followed for some steps, the other for none.
    partly = held(max(held(ENOUGH)) * 2 // 3)
    assert partly[-2:] == plain[-2:]


def test_a_run_that_breaks_off_leaves_nothing_wrong(flux: Case) -> None:
    plain, sharing = Runs(flux, None), Runs(flux, ENOUGH)
    schedules = alike(flux, 4)
    sharing(schedules[0])
    for number, schedule in enumerate(schedules):
        calls = 0

        def fail(*_: object, at: int = number * 2 + 1) -> None:
            nonlocal calls
            calls += 1
            if calls == at:
                raise RuntimeError("broken off")

        # In the middle of a call; a schedule that shares everything up to there runs fewer blocks.
        block = flux.pipe.transformer.single_transformer_blocks[0]
        handle = block.register_forward_pre_hook(fail)
        with suppress(RuntimeError):
            sharing(schedule)
        handle.remove()
        assert torch.equal(sharing(schedule), plain(schedule))


def test_results_are_the_callers_own(pixart: Case) -> None:
    """A pipeline may write to what the transformer gives."""
    schedule, other = branching(pixart, 3)
    plain, sharing = Runs(pixart, None), Runs(pixart, ENOUGH)
    expected = plain(other)
    transformer = pixart.pipe.transformer
    sharing(schedule)

    def spoil(_module: object, _args: object, output: Any) -> None:
        spoilt.append(output[0].clone())
        output[0].zero_()

    for _ in range(2):
        spoilt: list[torch.Tensor] = []
        with transformer.register_forward_hook(spoil):
            sharing(other)
    assert torch.equal(sharing(other), expected)


def test_compiled_steps_are_not_shared(pixart: Case) -> None:
    with pytest.raises(OptionError, match="prefixes"):
        apply_schedule(pixart.pipe, branching(pixart, 1)[0], prefixes=Prefixes(ENOUGH), compile=True)
