from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from ecad_automl.errors import OptionError
from ecad_automl.runtime import apply_schedule
from ecad_automl.schedules.schedule import Schedule

if TYPE_CHECKING:
    from tests.runtime.conftest import Case, Reference


def after_each_step(case: Case, monkeypatch: pytest.MonkeyPatch, read: Callable[[], int]) -> list[int]:
    """What ``read`` gives after all transformer calls of each step."""
    seen: list[int] = []
    real = case.pipe.scheduler.step

    def step(*args: Any, **kwargs: Any) -> Any:
        seen.append(read())
        return real(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(case.pipe.scheduler, "step", step)
        case.generate()
    return seen


def output_bytes(case: Case) -> np.ndarray:
    """``(slots,)``: bytes of the outputs of each slot in one step, over all guidance branches."""
    sizes = np.zeros(len(case.layout), dtype=int)
    handles = []
    for index, slot in enumerate(case.layout.slots):

        def add(_module: Any, _args: Any, output: Any, index: int = index) -> None:
            tensors = (output,) if isinstance(output, torch.Tensor) else output
            # Whole storages: the context that the last block of SD 3 leaves unused is a view of the joint output.
            storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
            sizes[index] += sum(storages.values())

        handles.append(case.pipe.transformer.get_submodule(slot.name).register_forward_hook(add))
    case.generate()
    for handle in handles:
        handle.remove()
    return sizes // 4


@pytest.mark.every_family
def test_only_outputs_that_are_still_to_be_read_are_held(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = output_bytes(case)
    schedule = case.random_schedule(1, share=0.5)
    expected = []
    for step in range(4):
        held = 0
        for slot, reader in enumerate(case.layout.reader_index):
            for later in range(step + 1, 4):
                if schedule.effective[later, slot]:
                    break
                if reader < 0 or schedule.effective[later, reader]:
                    held += sizes[slot]
                    break
        expected.append(held)
    with apply_schedule(case.pipe, schedule) as handle:
        assert after_each_step(case, monkeypatch, handle.cache_bytes) == expected
        assert handle.cache_bytes() == 0
    assert max(expected) < sizes.sum()
    assert schedule.cache_elements * 4 == max(expected)  # float32


def test_all_compute_holds_nothing(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    with apply_schedule(case.pipe, Schedule.all_compute(case.layout, 4)) as handle:
        assert after_each_step(case, monkeypatch, handle.cache_bytes) == [0] * 4


def test_reusing_everything_holds_what_the_residual_stream_reads(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = output_bytes(case)
    schedule = Schedule(case.layout, np.zeros((4, len(case.layout)), dtype=bool))
    with apply_schedule(case.pipe, schedule) as handle:
        held = int(sizes[case.layout.reader_index < 0].sum())
        assert after_each_step(case, monkeypatch, handle.cache_bytes) == [held] * 3 + [0]


def test_removal_frees_what_a_stopped_run_left(flux: Case) -> None:
    def stop(*_: Any) -> None:
        raise RuntimeError

    handle = apply_schedule(flux.pipe, flux.random_schedule(0, share=0.1))
    with pytest.raises(RuntimeError):
        flux.generate(callback_on_step_end=stop)
    assert handle.cache_bytes() > 0
    handle.remove()
    assert handle.cache_bytes() == 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_outputs_can_be_kept_in_half_the_memory(
    case: Case, monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype
) -> None:
    schedule = case.random_schedule(1)
    with apply_schedule(case.pipe, schedule) as handle:
        full = after_each_step(case, monkeypatch, handle.cache_bytes)
        before = case.generate()
    with apply_schedule(case.pipe, schedule, cache_dtype=dtype) as handle:
        # A view of a larger output is kept without the rest of it.
        assert all(
            half <= whole / 2
            for half, whole in zip(after_each_step(case, monkeypatch, handle.cache_bytes), full, strict=True)
        )
        images = case.generate()
    assert not torch.equal(images, before)
    assert torch.linalg.vector_norm(images - before) < 0.1 * torch.linalg.vector_norm(before)


def test_outputs_can_be_kept_on_another_device(pixart: Case) -> None:
    # The meta device is the only other one here: what it keeps is lost, so that nothing can be given again.
    schedule = pixart.random_schedule(1)
    with (
        apply_schedule(pixart.pipe, schedule, cache_device="meta") as handle,
        pytest.raises(NotImplementedError, match="meta"),
    ):
        pixart.generate()
    with apply_schedule(pixart.pipe, schedule, cache_device="cpu"):
        images = pixart.generate()
    with apply_schedule(pixart.pipe, schedule):
        assert torch.equal(images, pixart.generate())
    assert handle.cache_bytes() == 0


@pytest.mark.parametrize("dtype", [torch.int8, torch.float8_e4m3fn])
def test_types_that_cannot_hold_outputs_are_refused(pixart: Case, dtype: torch.dtype) -> None:
    with pytest.raises(OptionError, match=f"cannot be kept as {dtype}; float16"):
        apply_schedule(pixart.pipe, pixart.random_schedule(1), cache_dtype=dtype)


def test_text_is_freed_at_the_end_of_a_run(pixart: Case) -> None:
    with apply_schedule(pixart.pipe, pixart.random_schedule(1)) as handle:
        pixart.generate()
        assert handle._run._text._contexts == {}


def test_programs_of_former_shapes_are_forgotten_in_the_end(
    pixart: Case, reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ecad_automl.runtime.program._MAX_PROGRAMS", 2)
    schedule = pixart.random_schedule(1)
    with apply_schedule(pixart.pipe, schedule, fuse=False) as handle:
        for images in (1, 2, 3, 1):
            pixart.generate(images=images)
            assert len(handle._functions._programs) <= 2
        images = pixart.generate(images=2)
    assert torch.equal(images, reference(pixart, schedule, lambda: pixart.generate(images=2)))
