from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from ecad_automl.errors import OptionError
from ecad_automl.runtime import Prefixes, ScheduleHandle, apply_schedule
from ecad_automl.runtime.ahead import Ahead
from ecad_automl.runtime.cache import Kept
from ecad_automl.runtime.prefixes import Prefix
from ecad_automl.schedules.guidance import BOTH, KEEP, NONE
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
    with mock.patch.object(Ahead, "of", return_value=None):  # so that each call makes what it needs itself
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
    for memory in (prefixes._whole, prefixes._slots):
        for held in memory.held.values():
            for kept in held.outputs.values():
                storages |= {one.tensor.untyped_storage().data_ptr(): one.tensor.nbytes for one in kept}
    return sum(storages.values())


def kept(*places: tuple[int, int], size: int = 100) -> dict[tuple[int, int, int], list[Kept]]:
    """Outputs of slots at steps, of 400 bytes each."""
    tensor = torch.zeros(size)
    return {(slot, 0, step): [Kept(tensor.clone(), tensor.dtype, tensor.device)] for slot, step in places}


def test_what_is_asked_for_and_shallow_stays() -> None:
    def prefix(step: int, size: int = 100) -> Prefix:
        return Prefix(step, kept((0, step), size=size), {}, {})

    def find(key: bytes) -> Prefix | None:
        return prefixes.find(key, set())

    prefixes = Prefixes(2 * 3 * 400)  # half of it for outputs of the transformer
    assert prefixes.add(b"first", prefix(0)) == (True, False)
    assert prefixes.add(b"asked", prefix(4)) == (True, False)
    for _ in range(3):
        assert find(b"asked")
    for number in range(5):
        assert prefixes.add(b"second %d" % number, prefix(1)) == (True, False)
        assert prefixes.nbytes <= prefixes.limit // 2
        assert find(b"first")
    assert find(b"asked")
    assert not find(b"second 3")
    assert find(b"second 4")
    assert prefixes.add(b"deep", prefix(9)) == (False, False)
    assert prefixes.add(b"huge", prefix(0, 1000)) == (False, False)
    assert len(prefixes) == 3


def test_outputs_of_slots_go_first_and_a_prefix_without_them_serves_whoever_reads_none() -> None:
    def prefix(step: int) -> Prefix:
        return Prefix(step, kept((2, step)), kept((0, step), (1, step)), {})

    prefixes = Prefixes(2000)
    assert prefixes.add(b"first", prefix(0)) == (True, True)
    assert prefixes.find(b"first", {(2, 0), (1, 0)})
    assert not prefixes.find(b"first", {(1, 1)})
    assert prefixes.add(b"second", prefix(0)) == (True, False)  # of less worth than the first, which was asked for
    assert prefixes.find(b"second", {(2, 0)})
    assert not prefixes.find(b"second", {(1, 0)})
    assert prefixes.add(b"first", Prefix(0, kept((2, 0)), {}, {})) == (True, False)
    assert prefixes.find(b"first", {(2, 0), (1, 0)})  # what another run did not keep is still there
    assert prefixes.nbytes == held_bytes(prefixes) == 4 * 400


def test_what_was_held_without_the_outputs_of_slots_is_held_with_them_once_they_are_made() -> None:
    prefixes = Prefixes(ENOUGH)
    assert prefixes.add(b"key", Prefix(1, kept((2, 1)), {}, {(2, 0): "of whole"})) == (True, False)
    assert not prefixes.find(b"key", {(2, 1), (0, 1)})
    assert prefixes.add(b"key", Prefix(1, kept((2, 1)), kept((0, 1)), {(0, 0): "of slot"})) == (True, True)
    found = prefixes.find(b"key", {(2, 1), (0, 1)})
    assert found
    assert set(found.forms) == {(0, 0)}
    assert prefixes.nbytes == held_bytes(prefixes) == 2 * 400


def test_whole_steps_share_where_outputs_of_slots_do_not_fit(flux: Case) -> None:
    """Plans that compute or skip whole steps, after one another and after a schedule that reads slots."""
    compute = np.ones((STEPS, len(flux.layout)), dtype=bool)
    skips = [np.array(row, dtype=bool) for row in ([0, 0, 1, 0, 1], [0, 0, 1, 0, 0], [0, 0, 0, 1, 0])]
    levels = np.full((STEPS, len(flux.layout.components) + 1), 3)
    weights = np.tile([1.4, -0.4], (STEPS, len(flux.layout) + 1, 1))
    plans = [Schedule(flux.layout, compute, skip, levels, weights) for skip in skips]
    schedules = [plans[0], branching(flux, 3)[0], *plans[1:]]
    plain, boundless = Runs(flux, None), Runs(flux, ENOUGH)
    boundless(plans[0])
    boundless(branching(flux, 3)[1])
    assert boundless.prefixes is not None
    tight = Runs(flux, boundless.prefixes._whole.nbytes * 4)
    for schedule in schedules:
        assert torch.equal(tight(schedule), plain(schedule))
    assert tight.prefixes is not None
    assert not tight.prefixes._slots.held
    # The first steps, then what is alike of the plans: steps 0, 1 and 3 of the second, 0 and 1 of the third.
    assert tight.shared >= (3 + 2) * flux.calls_per_step


@pytest.mark.parametrize("name", ["pixart-guided", "flux-true-cfg"])
def test_plans_that_leave_out_a_guidance_branch_share_with_those_that_do_not(name: str) -> None:
    case = ALL_CASES[name]()
    compute = np.ones((STEPS, len(case.layout)), dtype=bool)
    skip = np.array([0, 0, 1, 0, 0], dtype=bool)
    schedules = [
        Schedule(case.layout, compute, skip),
        Schedule(case.layout, compute, skip, guidance=[BOTH, BOTH, BOTH, BOTH, KEEP]),
        Schedule(case.layout, compute, skip, guidance=[BOTH, BOTH, BOTH, BOTH, NONE]),
        Schedule(case.layout, compute, skip),
    ]
    plain, sharing = Runs(case, None), Runs(case, ENOUGH)
    for schedule, shared in zip(schedules, (0, 3, 3, 3), strict=True):
        before = sharing.shared
        assert torch.equal(sharing(schedule), plain(schedule))
        assert sharing.shared - before == shared * case.calls_per_step


@pytest.mark.parametrize("limit", [0, 100])
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
    assert held(100) == plain
    # Followed for the transformer's outputs alone, of which there are two in each guidance branch.
    whole = flux.generate(steps=1).nbytes
    for limit in (1000, max(held(ENOUGH)) * 2 // 3):
        followed = held(limit)
        assert followed != plain
        assert all(more - less <= 4 * whole for more, less in zip(followed[-2:], plain[-2:], strict=True))


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
