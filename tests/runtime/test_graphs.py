"""CUDA graphs of transformer calls, captured by a simulation: nothing here has run on a GPU."""

from __future__ import annotations

import functools
import gc
import warnings
import weakref
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.hooks import ModelHook, add_hook_to_module, remove_hook_from_module
from diffusers.models.attention_processor import AttnProcessor
from peft import LoraConfig
from torch import nn
from torch._dynamo.utils import counters
from torch.nn import functional
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

from ecad_automl.errors import CudaGraphsWarning, ScheduleError
from ecad_automl.runtime import ScheduleHandle, apply_schedule
from ecad_automl.runtime.plan import Action, plan_of
from ecad_automl.runtime.record import record
from ecad_automl.runtime.text import text_paths
from ecad_automl.schedules.schedule import Schedule
from tests.runtime.cases import CASES, Case
from tests.runtime.simulated_capture import SimulatedCapturer
from tests.runtime.test_removal import everything_on

FAMILIES = (
    *("pixart-guided", "sd3-guided", "flux", "flux-true-cfg", "qwen-image-guided"),
    *("wan-guided", "sana-guided", "ltx-guided", "zimage-guided", "hunyuanvideo"),
)
STEPS = 6


@functools.cache
def schedule_for(name: str, seed: int = 1) -> Schedule:
    """Three patterns, each of which comes again: everything, nothing, everything, nothing, some, the same some."""
    layout = CASES[name]().layout
    some = np.random.default_rng(seed).random(len(layout)) < 0.4
    everything, nothing = np.ones(len(layout), dtype=bool), np.zeros(len(layout), dtype=bool)
    return Schedule(layout, np.stack([everything, nothing, everything, nothing, some, some]))


def patterns_of(schedule: Schedule) -> list[tuple[Action, ...]]:
    return [tuple(Action.REUSE if each is Action.REUSE_LAST else each for each in row) for row in plan_of(schedule)]


def graphs_for(case: Case, schedule: Schedule, *, text: bool = True) -> int:
    """How many graphs there should be in the end."""
    patterns = patterns_of(schedule)
    has_text = text and bool(text_paths(case.pipe.transformer))
    return case.calls_per_step * (len(set(patterns)) + (has_text and patterns[0] in patterns[1:]))


def with_prompt(case: Case, number: int) -> Case:
    """The case with other prompts than before."""
    case.call = dict(case.call)
    original = vars(case).setdefault("original_inputs", case.inputs)

    def other(name: str, value: Any) -> Any:
        if name == "prompt":
            return [f"a {('red', 'blue')[number % 2]} {('circle', 'square')[number // 2 % 2]}" for _ in value]
        if isinstance(value, list):
            return [other(name, part) for part in value]
        if isinstance(value, torch.Tensor) and value.is_floating_point() and "embeds" in name:
            return value + 0.3 * number
        return value

    case.inputs = lambda images: {name: other(name, value) for name, value in original(images).items()}
    return case


def run(case: Case, number: int = 0, **changes: Any) -> torch.Tensor:
    """A run with noise and prompt of its own."""
    return with_prompt(case, number).generate(steps=STEPS, seed=number, **changes)


def without_graphs(case: Case, schedule: Schedule, *numbers: int, **options: Any) -> list[torch.Tensor]:
    with apply_schedule(case.pipe, schedule, **options):
        return [run(case, number) for number in numbers]


def counts(handle: ScheduleHandle) -> tuple[int, int]:
    report = handle.cuda_graphs
    assert report is not None
    return report.captured, report.replays


def why_not(handle: ScheduleHandle) -> tuple[str, ...]:
    assert handle.cuda_graphs is not None
    return handle.cuda_graphs.why_not


def told_of_graphs(warned: Iterable[warnings.WarningMessage]) -> int:
    return sum(each.category is CudaGraphsWarning for each in warned)


@pytest.fixture
def capturer() -> SimulatedCapturer:
    return SimulatedCapturer()


@pytest.fixture
def pixart() -> Case:
    return CASES["pixart-guided"]()


@pytest.fixture
def flux() -> Case:
    return CASES["flux-true-cfg"]()


# What they do.


@pytest.mark.parametrize("name", FAMILIES)
def test_runs_are_the_same_bit_for_bit_with_other_noise_and_prompts(name: str, capturer: SimulatedCapturer) -> None:
    case, schedule = CASES[name](), schedule_for(name)
    expected = without_graphs(case, schedule, 0, 1, 2, 3, 1)
    assert not torch.equal(expected[1], expected[2])
    with apply_schedule(case.pipe, schedule, cuda_graphs=capturer) as handle:
        for number, images in zip((0, 1, 2), expected[:3], strict=True):
            assert torch.equal(run(case, number), images)
        assert counts(handle)[0] == capturer.captures == graphs_for(case, schedule)
        before = counts(handle)[1]
        assert torch.equal(run(case, 3), expected[3])
        assert counts(handle) == (graphs_for(case, schedule), before + STEPS * case.calls_per_step)
        assert torch.equal(run(case, 1), expected[4])
        assert why_not(handle) == ()


@pytest.mark.parametrize("name", ["pixart-guided", "flux-true-cfg"])
def test_a_replay_runs_no_python_of_the_model(
    name: str, capturer: SimulatedCapturer, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[object] = []
    real = nn.Linear.forward

    def counted(self: nn.Linear, value: torch.Tensor) -> torch.Tensor:
        calls.append(self)
        return real(self, value)

    monkeypatch.setattr(nn.Linear, "forward", counted)
    case = CASES[name]()
    case.pipe.transformer.register_forward_pre_hook(lambda *_: calls.clear())
    with apply_schedule(case.pipe, schedule_for(name), cuda_graphs=capturer):
        run(case)
        assert calls
        for number in (1, 2, 3):
            run(case, number)
        assert not calls
        assert capturer.replays > 0


def test_without_kept_text_there_is_one_graph_for_each_pattern(pixart: Case, capturer: SimulatedCapturer) -> None:
    schedule = schedule_for("pixart-guided")
    expected = without_graphs(pixart, schedule, 0, 1, 2, keep_text=False)
    with apply_schedule(pixart.pipe, schedule, cuda_graphs=capturer, keep_text=False) as handle:
        assert all(torch.equal(run(pixart, number), images) for number, images in enumerate(expected))
        assert counts(handle)[0] == len(set(patterns_of(schedule))) == graphs_for(pixart, schedule, text=False)


def test_kept_text_is_computed_once_a_run(pixart: Case, capturer: SimulatedCapturer) -> None:
    with apply_schedule(pixart.pipe, schedule_for("pixart-guided"), cuda_graphs=capturer) as handle:
        for number in range(3):
            run(pixart, number)
        assert handle._graphs is not None
        graphs: Any = handle._graphs._branches[None, 0].graphs
        operations = {bool(text): len(graphs[0, text].captured._operations) for pattern, text in graphs if pattern == 0}
    # Keys and values of cross-attention in two blocks, and the projection of captions.
    assert operations[True] <= operations[False] - 2 * 2 * 2 - 2


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_outputs_are_kept_in_another_type(pixart: Case, capturer: SimulatedCapturer, dtype: torch.dtype) -> None:
    schedule = schedule_for("pixart-guided")
    expected = without_graphs(pixart, schedule, 0, 1, 2, 3, cache_dtype=dtype)
    with apply_schedule(pixart.pipe, schedule, cuda_graphs=capturer, cache_dtype=dtype) as handle:
        assert all(torch.equal(run(pixart, number), images) for number, images in enumerate(expected))
        assert counts(handle)[0] == graphs_for(pixart, schedule)
        half = handle.cache_bytes()
    with apply_schedule(pixart.pipe, schedule, cuda_graphs=capturer) as handle:
        run(pixart)
        assert handle.cache_bytes() == 2 * half


@pytest.mark.parametrize("name", ["pixart-guided", "flux-true-cfg", "wan-guided"])
def test_compiled_blocks_are_captured(name: str, capturer: SimulatedCapturer) -> None:
    torch._dynamo.reset()
    counters.clear()
    case, schedule = CASES[name](), schedule_for(name)
    compile_options = {"backend": "eager"}
    expected = without_graphs(case, schedule, 0, 1, 2, 3, compile=compile_options)
    with apply_schedule(case.pipe, schedule, cuda_graphs=capturer, compile=compile_options) as handle:
        got = [run(case, number) for number in (0, 1, 2, 3)]
        assert counts(handle)[0] == graphs_for(case, schedule, text=False)
        assert why_not(handle) == ()
    assert all(map(torch.equal, got, expected))
    torch._dynamo.reset()


class Rerunning:
    """Captures nothing: the function is run as it is, and once more for every replay, with what Python knew then."""

    captures = 0

    def warm_up(self, function: Callable[[], Any]) -> Any:
        return function()

    def capture(self, function: Callable[[], Any]) -> Any:
        self.captures += 1
        with torch.compiler.set_stance("fail_on_recompile"):
            return SimpleNamespace(result=function(), replay=lambda: None)


@pytest.mark.parametrize("name", ["pixart-guided", "flux-true-cfg"])
def test_nothing_is_compiled_in_a_capture(name: str) -> None:
    torch._dynamo.reset()
    case, schedule, capturer = CASES[name](), schedule_for(name), Rerunning()
    with apply_schedule(case.pipe, schedule, compile={"backend": "eager"}):
        expected = run(case)
    torch._dynamo.reset()
    with apply_schedule(case.pipe, schedule, cuda_graphs=capturer, compile={"backend": "eager"}) as handle:
        assert torch.equal(run(case), expected)
        assert capturer.captures == case.calls_per_step * 3
        assert why_not(handle) == ()
    torch._dynamo.reset()


def test_outputs_of_a_call_outlive_the_next_ones(pixart: Case, capturer: SimulatedCapturer) -> None:
    schedule = schedule_for("pixart-guided")

    def outputs(**options: Any) -> list[torch.Tensor]:
        seen: list[torch.Tensor] = []
        hook = pixart.pipe.transformer.register_forward_hook(lambda *args: seen.append(args[2][0]))
        with apply_schedule(pixart.pipe, schedule, **options):
            for number in range(3):
                run(pixart, number)
        hook.remove()
        return seen

    expected, got = outputs(), outputs(cuda_graphs=capturer)
    capturer.poison()
    assert len(got) == 3 * STEPS
    assert all(map(torch.equal, got, expected))


def test_inference_mode_may_come_and_go(flux: Case, capturer: SimulatedCapturer) -> None:
    schedule = schedule_for("flux-true-cfg")
    expected = without_graphs(flux, schedule, 0, 1, 2, 3, 4)
    with apply_schedule(flux.pipe, schedule, cuda_graphs=capturer) as handle:
        for number, images in enumerate(expected):
            with torch.inference_mode(mode=number in (0, 3)):
                # Last bits have been seen to differ in inference mode, once and not again.
                assert_close(run(flux, number), images)
        assert why_not(handle) == ()
        assert counts(handle)[0] >= len(set(patterns_of(schedule)))


def test_another_schedule_takes_over_all_options(pixart: Case, capturer: SimulatedCapturer) -> None:
    one, other = schedule_for("pixart-guided"), schedule_for("pixart-guided", 2)
    expected = without_graphs(pixart, other, 0, 1, 2)
    with apply_schedule(pixart.pipe, one, cuda_graphs=capturer) as handle:
        run(pixart)
    with apply_schedule(pixart.pipe, other, like=handle) as again:
        assert all(torch.equal(run(pixart, number), images) for number, images in enumerate(expected))
        assert counts(again)[0] == graphs_for(pixart, other)


def test_two_pipelines_have_graphs_of_their_own(capturer: SimulatedCapturer) -> None:
    cases = [CASES["pixart-guided"](), CASES["flux-true-cfg"]()]
    schedules = [schedule_for("pixart-guided"), schedule_for("flux-true-cfg")]
    expected = [without_graphs(case, each, 0, 1, 2, 3) for case, each in zip(cases, schedules, strict=True)]
    handles = [
        apply_schedule(case.pipe, each, cuda_graphs=capturer) for case, each in zip(cases, schedules, strict=True)
    ]
    for number in range(4):
        for case, images in zip(cases, expected, strict=True):
            assert torch.equal(run(case, number), images[number])
    handles[0].remove()
    assert torch.equal(run(cases[1], 2), expected[1][2])
    assert counts(handles[1])[0] == graphs_for(cases[1], schedules[1])


# What changes from call to call.


def test_other_shapes_go_without_graphs_and_the_old_ones_with_them_again(
    flux: Case, capturer: SimulatedCapturer
) -> None:
    schedule = schedule_for("flux-true-cfg")
    with apply_schedule(flux.pipe, schedule):
        two = run(flux, 1, images=2)
        one = run(flux, 2)
    with apply_schedule(flux.pipe, schedule, cuda_graphs=capturer) as handle:
        for number in range(3):
            run(flux, number)
        before = counts(handle)
        with pytest.warns(CudaGraphsWarning, match="other shapes, types or constants") as told:
            assert torch.equal(run(flux, 1, images=2), two)
        assert told_of_graphs(told) == 1
        assert torch.equal(run(flux, 1, images=2), two)  # silently
        assert counts(handle) == before
        assert handle.cache_bytes() > 0
        assert torch.equal(run(flux, 2), one)
        assert counts(handle) == (before[0], before[1] + 2 * STEPS)
        assert len(why_not(handle)) == 1


def test_a_first_run_of_another_shape_costs_nothing(pixart: Case, capturer: SimulatedCapturer) -> None:
    schedule = pixart.random_schedule(1, STEPS)
    assert len(set(patterns_of(schedule))) == STEPS  # so that nothing is captured in the first run
    expected = without_graphs(pixart, schedule, 0, 1, 2)
    with apply_schedule(pixart.pipe, schedule, cuda_graphs=capturer) as handle:
        run(pixart, 0, images=2)
        assert counts(handle) == (0, 0)
        assert all(torch.equal(run(pixart, number), images) for number, images in enumerate(expected))
        assert counts(handle) == (STEPS, 2 * STEPS)
        assert why_not(handle) == ()


def test_constants_among_the_arguments_are_part_of_what_is_captured(capturer: SimulatedCapturer) -> None:
    case = CASES["flux"]()
    add_lora(case.pipe.transformer)
    schedule = schedule_for("flux")

    def scaled(number: int, scale: float) -> torch.Tensor:
        return run(case, number, joint_attention_kwargs={"scale": scale})

    with apply_schedule(case.pipe, schedule):
        expected = [scaled(0, 1.0), scaled(0, 0.5), scaled(1, 1.0)]
    with apply_schedule(case.pipe, schedule, cuda_graphs=capturer) as handle:
        for _ in range(3):
            assert torch.equal(scaled(0, 1.0), expected[0])
        assert counts(handle)[0] == graphs_for(case, schedule)
        with pytest.warns(CudaGraphsWarning, match="constants"):
            assert torch.equal(scaled(0, 0.5), expected[1])
        assert torch.equal(scaled(1, 1.0), expected[2])


def after_step(case: Case, monkeypatch: pytest.MonkeyPatch, step: int, act: Callable[[], object]) -> None:
    """Have something done in the middle of each run."""
    real, count = case.pipe.scheduler.step, [0]

    def stepped(*args: Any, **kwargs: Any) -> Any:
        output = real(*args, **kwargs)
        if count[0] % STEPS == step:
            act()
        count[0] += 1
        return output

    monkeypatch.setattr(case.pipe.scheduler, "step", stepped)


@pytest.mark.parametrize("step", [0, 2, 4])
def test_text_that_is_written_to_during_a_run_is_seen(
    step: int, capturer: SimulatedCapturer, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, schedule = CASES["sana-guided"](), schedule_for("sana-guided")
    texts: list[torch.Tensor] = []

    def note(_module: nn.Module, _args: Any, kwargs: dict[str, Any]) -> None:
        texts[:] = [kwargs["encoder_hidden_states"]]

    case.pipe.transformer.register_forward_pre_hook(note, with_kwargs=True)
    after_step(case, monkeypatch, step, lambda: texts[0].mul_(-1.5))
    expected = without_graphs(case, schedule, 0, 1, 2, 3)
    with apply_schedule(case.pipe, schedule, cuda_graphs=capturer) as handle:
        assert all(torch.equal(run(case, number), images) for number, images in enumerate(expected))
        assert counts(handle)[0] <= 2 * len(set(patterns_of(schedule)))
        assert counts(handle)[1] > 2 * STEPS
        assert why_not(handle) == ()


def test_a_prompt_written_to_between_runs_is_seen(flux: Case, capturer: SimulatedCapturer) -> None:
    schedule = schedule_for("flux-true-cfg")
    held = flux.inputs(1)
    flux.inputs = lambda images: held

    def runs(**options: Any) -> list[torch.Tensor]:
        found = []
        with apply_schedule(flux.pipe, schedule, **options):
            for number in range(5):
                held["prompt_embeds"].add_(0.1)
                found.append(flux.generate(steps=STEPS, seed=number))
        held["prompt_embeds"].sub_(0.5)
        return found

    start = held["prompt_embeds"].clone()
    expected = runs()
    held["prompt_embeds"].copy_(start)
    assert all(map(torch.equal, runs(cuda_graphs=capturer), expected))
    assert capturer.replays > 2 * STEPS


# What changes in the model.


def add_lora(transformer: Any) -> None:
    torch.manual_seed(3)
    transformer.add_adapter(LoraConfig(r=2, init_lora_weights=False, target_modules=["to_q", "to_k", "proj_out"]))


def swapped(parameter: nn.Parameter) -> None:
    parameter.data = parameter.data * 1.5


CHANGES: dict[str, Callable[[Any], object]] = {
    "lora": add_lora,
    "processors": lambda transformer: transformer.set_attn_processor(_Halved(transformer)),
    "moved": lambda transformer: swapped(transformer.x_embedder.weight),
    "attribute": lambda transformer: setattr(transformer.norm_out.norm, "eps", 0.5),
}


def _Halved(transformer: Any) -> dict[str, Any]:  # noqa: N802
    kind = type(next(iter(transformer.attn_processors.values())))

    class Halved(kind):  # type: ignore[misc,valid-type]
        @functools.wraps(kind.__call__)
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            output = super().__call__(*args, **kwargs)
            return tuple(part / 2 for part in output) if isinstance(output, tuple) else output / 2

    return {name: Halved() for name in transformer.attn_processors}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_the_model_between_runs_drops_the_graphs(change: str, capturer: SimulatedCapturer) -> None:
    case, other, schedule = CASES["flux"](), CASES["flux"](), schedule_for("flux")
    with apply_schedule(case.pipe, schedule, cuda_graphs=capturer) as handle:
        before = [run(case, number) for number in (0, 1, 2)]
        captures = capturer.captures
        CHANGES[change](case.pipe.transformer)
        CHANGES[change](other.pipe.transformer)
        expected = without_graphs(other, schedule, 0, 1, 2)
        assert not torch.equal(expected[0], before[0])
        assert all(torch.equal(run(case, number), images) for number, images in enumerate(expected))
        assert capturer.captures == 2 * captures
        assert counts(handle)[0] == captures == graphs_for(case, schedule)


def test_the_weight_of_a_lora_may_change_between_runs(capturer: SimulatedCapturer) -> None:
    def runs(**options: Any) -> list[torch.Tensor]:
        case, found = CASES["flux"](), []
        add_lora(case.pipe.transformer)
        with apply_schedule(case.pipe, schedule_for("flux"), **options):
            for weight in (1.0, 0.5):
                case.pipe.transformer.set_adapters("default", weight)
                found += [run(case, number) for number in (0, 1, 2)]
        return found

    assert all(map(torch.equal, runs(), runs(cuda_graphs=capturer)))
    assert capturer.captures == 2 * graphs_for(CASES["flux"](), schedule_for("flux"))


def test_weights_written_to_are_seen_by_replays(pixart: Case, capturer: SimulatedCapturer) -> None:
    schedule = schedule_for("pixart-guided")
    with apply_schedule(pixart.pipe, schedule, cuda_graphs=capturer) as handle:
        for number in range(3):
            run(pixart, number)
        captured, replays = counts(handle)
        with torch.no_grad():
            for parameter in pixart.pipe.transformer.parameters():
                parameter.mul_(1.1)
        got = run(pixart, 1)
        assert counts(handle) == (captured, replays + STEPS)
    assert torch.equal(got, without_graphs(pixart, schedule, 1)[0])


@pytest.mark.parametrize("broken_off", [False, True])
def test_the_same_text_is_worked_on_anew_in_every_run(
    broken_off: bool, flux: Case, capturer: SimulatedCapturer, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule, held = schedule_for("flux-true-cfg"), flux.inputs(1)
    flux.inputs = lambda images: held
    transformer = flux.pipe.transformer
    assert "context_embedder" in text_paths(transformer)

    def stop() -> None:
        raise ZeroDivisionError

    with apply_schedule(flux.pipe, schedule, cuda_graphs=capturer) as handle:
        for number in range(3):
            flux.generate(steps=STEPS, seed=number)
        if broken_off:
            with monkeypatch.context() as patch:
                after_step(flux, patch, 2, stop)
                with pytest.raises(ZeroDivisionError):
                    flux.generate(steps=STEPS)
        with torch.no_grad():
            transformer.context_embedder.weight.mul_(1.5)
        captured = counts(handle)[0]
        got = flux.generate(steps=STEPS)
        assert counts(handle)[0] == captured
    with apply_schedule(flux.pipe, schedule):
        assert torch.equal(got, flux.generate(steps=STEPS))


@pytest.mark.parametrize("step", [0, 1, 3])
def test_weights_moved_during_a_run_are_seen(
    step: int, capturer: SimulatedCapturer, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = []
    for options in ({}, {"cuda_graphs": capturer}):
        case = CASES["pixart-guided"]()
        weight = case.pipe.transformer.transformer_blocks[1].attn1.to_q.weight
        with apply_schedule(case.pipe, schedule_for("pixart-guided"), **options) as handle:
            found = [run(case, number) for number in range(3)]
            with monkeypatch.context() as patch:
                after_step(case, patch, step, lambda weight=weight: swapped(weight))
                found.append(run(case, 3))
            found += [run(case, number) for number in range(3)]
        runs.append(found)
    assert all(map(torch.equal, *runs))
    assert why_not(handle) == ()


# What cannot be captured.


def test_a_capture_that_fails_is_told_once_and_the_run_goes_on(flux: Case, capturer: SimulatedCapturer) -> None:
    schedule = schedule_for("flux-true-cfg")
    expected = without_graphs(flux, schedule, 0, 1, 2)
    capturer.failing = MemoryError("no more memory")
    with apply_schedule(flux.pipe, schedule, cuda_graphs=capturer) as handle:
        with pytest.warns(CudaGraphsWarning, match=r"capturing failed \(MemoryError: no more memory\)") as told:
            assert torch.equal(run(flux), expected[0])
        assert told_of_graphs(told) == 1
        capturer.failing = None
        assert torch.equal(run(flux, 1), expected[1])
        assert counts(handle) == (0, 0)
        assert handle.cache_bytes() == 0
        assert len(why_not(handle)) == 1
        swapped(flux.pipe.transformer.x_embedder.weight)  # a model that was changed is tried again
        for number in range(3):
            run(flux, number)
        assert counts(handle)[0] > 0


def test_a_capture_that_fails_leaves_no_text_behind(pixart: Case, capturer: SimulatedCapturer) -> None:
    schedule = schedule_for("pixart-guided")
    expected = without_graphs(pixart, schedule, 0, 1)
    with apply_schedule(pixart.pipe, schedule, cuda_graphs=capturer):
        assert torch.equal(run(pixart, 0), expected[0])
        capturer.failing = MemoryError()
        with pytest.warns(CudaGraphsWarning, match="capturing failed"):
            assert torch.equal(run(pixart, 1), expected[1])


def in_the_attention(case: Case, act: Callable[[Any, torch.Tensor], torch.Tensor]) -> None:
    """Have every attention of PixArt do something to what it is given."""

    class Acting(AttnProcessor):
        def __call__(self, attn: Any, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
            return super().__call__(attn, act(self, hidden_states), *args, **kwargs)

    case.pipe.transformer.set_attn_processor(Acting())


#: What a model may keep outside of its modules, and lose at any time.
TABLES: dict[torch.Size, torch.Tensor] = {}


def look_up(_processor: Any, value: torch.Tensor) -> torch.Tensor:
    if value.shape not in TABLES:
        TABLES[value.shape] = torch.cos(value.detach() * 0)
    return value * TABLES[value.shape] * 1.1


def count_up(processor: Any, value: torch.Tensor) -> torch.Tensor:
    processor.calls = getattr(processor, "calls", 0) + 1
    return value * (1 + 0.01 * (processor.calls % 7))


def look(_processor: Any, value: torch.Tensor) -> torch.Tensor:
    return value if float(value.detach().sum().item()) < 1e9 else value * 2


def test_a_transformer_that_waits_for_the_device(pixart: Case, capturer: SimulatedCapturer) -> None:
    in_the_attention(pixart, look)
    assert_goes_without(pixart, capturer, r"capturing failed \(CaptureError: .*when stream is capturing")


def test_a_transformer_that_draws_random_numbers(pixart: Case, capturer: SimulatedCapturer) -> None:
    in_the_attention(pixart, lambda _, value: functional.dropout(value, 0.1, training=True))
    assert_goes_without(pixart, capturer, "draws random numbers")


def test_a_transformer_with_a_counter_of_its_own(capturer: SimulatedCapturer) -> None:
    runs = []
    for options in ({}, {"cuda_graphs": capturer}):
        case = CASES["pixart-guided"]()
        in_the_attention(case, count_up)
        with apply_schedule(case.pipe, schedule_for("pixart-guided"), **options) as handle, warnings.catch_warnings():
            warnings.simplefilter("ignore", CudaGraphsWarning)
            runs.append([run(case, seed) for seed in range(4)])
    assert all(map(torch.equal, *runs))
    assert capturer.captures == 0
    assert why_not(handle) == ("attributes of its modules change from call to call",)


def assert_goes_without(case: Case, capturer: SimulatedCapturer, reason: str) -> None:
    """A case whose runs are right, and not by graphs, for a reason."""

    def runs(**options: Any) -> list[torch.Tensor]:
        torch.manual_seed(0)
        with apply_schedule(case.pipe, schedule_for("pixart-guided"), **options) as handle:
            found = [run(case, number) for number in range(3)]
            if options:
                assert counts(handle) == (0, 0)
                assert len(why_not(handle)) == 1
        return found

    expected = runs()
    with pytest.warns(CudaGraphsWarning, match=reason) as told:
        got = runs(cuda_graphs=capturer)
    assert told_of_graphs(told) == 1
    assert all(map(torch.equal, got, expected))


def test_tables_that_a_model_loses_are_held(pixart: Case, capturer: SimulatedCapturer) -> None:
    in_the_attention(pixart, look_up)
    schedule = schedule_for("pixart-guided")
    expected = without_graphs(pixart, schedule, 0, 1, 2, 3)
    with apply_schedule(pixart.pipe, schedule, cuda_graphs=capturer) as handle:
        for number, images in enumerate(expected):
            assert torch.equal(run(pixart, number), images)
            TABLES.clear()
        assert counts(handle)[0] == graphs_for(pixart, schedule)


def test_a_transformer_that_writes_to_its_arguments(
    pixart: Case, capturer: SimulatedCapturer, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = type(pixart.pipe.transformer)
    real = kind.forward

    def writing(self: Any, hidden_states: torch.Tensor, **kwargs: Any) -> Any:
        return real(self, hidden_states.mul_(1.0), **kwargs)

    monkeypatch.setattr(kind, "forward", writing)
    assert_goes_without(pixart, capturer, "writes to its arguments")


def test_blocks_that_have_to_be_run_whole(
    pixart: Case, capturer: SimulatedCapturer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ecad_automl.runtime.scheduled.record", lambda *args: (record(*args)[0], "it is odd"))
    assert_goes_without(pixart, capturer, r"transformer_blocks\.0 has to be run whole, since it is odd")


@pytest.mark.parametrize("path", ["transformer_blocks.1.attn1", "transformer_blocks.0.ff.net.0", "proj_out"])
def test_hooks_on_modules_are_heard(path: str, pixart: Case, capturer: SimulatedCapturer) -> None:
    heard: list[object] = []
    hook = pixart.pipe.transformer.get_submodule(path).register_forward_hook(lambda *_: heard.append(1))
    without_graphs(pixart, schedule_for("pixart-guided"), 0, 1, 2)
    often = len(heard)
    assert often
    assert_goes_without(pixart, capturer, f"{path} has PyTorch hooks")
    assert len(heard) == 3 * often
    hook.remove()
    expected = without_graphs(pixart, schedule_for("pixart-guided"), 0, 1, 2)
    with apply_schedule(pixart.pipe, schedule_for("pixart-guided"), cuda_graphs=capturer) as handle:
        assert all(torch.equal(run(pixart, number), images) for number, images in enumerate(expected))
        assert counts(handle)[0] > 0


@pytest.mark.parametrize("path", ["", "transformer_blocks.1.attn1.to_q", "proj_out"])
@pytest.mark.parametrize("before", [True, False])
def test_offloading_goes_without(path: str, before: bool, pixart: Case, capturer: SimulatedCapturer) -> None:
    module = pixart.pipe.transformer.get_submodule(path)
    if before:
        add_hook_to_module(module, ModelHook())
    with apply_schedule(pixart.pipe, schedule_for("pixart-guided"), cuda_graphs=capturer) as handle:
        if not before:
            add_hook_to_module(module, ModelHook())
        with pytest.warns(CudaGraphsWarning, match=f"{path or 'the transformer'} is offloaded by accelerate"):
            run(pixart)
        assert counts(handle) == (0, 0)
        remove_hook_from_module(module)
        vars(module).pop("forward", None) if before else None


def test_forwards_that_others_replaced_are_heard(pixart: Case, capturer: SimulatedCapturer) -> None:
    linear = pixart.pipe.transformer.proj_out
    linear.forward = lambda value: functional.linear(value, linear.weight, linear.bias)
    assert_goes_without(pixart, capturer, "the forward of proj_out is wrapped")


def test_autocast_goes_without(pixart: Case, capturer: SimulatedCapturer) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert_goes_without(pixart, capturer, "autocast is on")


def test_gradients_go_without(capturer: SimulatedCapturer) -> None:
    case = CASES["flux"]()
    case.pipe.transformer.requires_grad_(True)

    def gradients(**options: Any) -> torch.Tensor:
        case.pipe.transformer.zero_grad()
        with apply_schedule(case.pipe, schedule_for("flux"), **options):
            call = {**case.arguments(1), "num_inference_steps": STEPS, "generator": torch.Generator().manual_seed(0)}
            latents = type(case.pipe).__call__.__wrapped__(case.pipe, **call).images
            latents.sum().backward()
        found: torch.Tensor = case.pipe.transformer.x_embedder.weight.grad.clone()
        return found

    expected = gradients()
    with pytest.warns(CudaGraphsWarning, match="gradients are being recorded"):
        assert torch.equal(gradients(cuda_graphs=capturer), expected)


def test_what_watches_operations_sees_them(pixart: Case, capturer: SimulatedCapturer) -> None:
    schedule, macs = schedule_for("pixart-guided"), []
    for options in ({}, {"cuda_graphs": capturer}):
        with apply_schedule(pixart.pipe, schedule, **options) as handle, warnings.catch_warnings():
            warnings.simplefilter("ignore", CudaGraphsWarning)
            for number in range(3):
                run(pixart, number)
            with FlopCounterMode(display=False) as counter:
                run(pixart)
            macs.append(counter.get_total_flops())
    assert macs[0] == macs[1] > 0
    assert "a TorchDispatchMode is on" in why_not(handle)[0]


def test_arguments_that_are_no_tensors(capturer: SimulatedCapturer, caplog: pytest.LogCaptureFixture) -> None:
    case, schedule = CASES["flux"](), schedule_for("flux")
    with apply_schedule(case.pipe, schedule):
        expected = run(case, joint_attention_kwargs={"thing": object()})
    with apply_schedule(case.pipe, schedule, cuda_graphs=capturer) as handle:
        with pytest.warns(CudaGraphsWarning, match="the transformer gets a object"):
            got = run(case, joint_attention_kwargs={"thing": object()})
        assert counts(handle) == (0, 0)
    assert torch.equal(got, expected)


def test_arguments_on_another_device(pixart: Case, capturer: SimulatedCapturer) -> None:
    with apply_schedule(pixart.pipe, schedule_for("pixart-guided"), cuda_graphs=capturer) as handle:
        assert handle._graphs is not None
        handle._graphs._device = torch.device("cuda", 0)
        with pytest.warns(CudaGraphsWarning, match="gets a tensor on cpu, and is on cuda:0"):
            run(pixart)
        assert counts(handle) == (0, 0)


# Errors and removal.


@pytest.mark.parametrize("broken", [0, 1, 2])
@pytest.mark.parametrize("name", ["pixart-guided", "flux-true-cfg"])
def test_a_run_that_is_broken_off_leaves_nothing(
    name: str, broken: int, capturer: SimulatedCapturer, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, schedule = CASES[name](), schedule_for(name)
    expected = without_graphs(case, schedule, 0, 1, 2, 3)

    def stop() -> None:
        raise ZeroDivisionError

    with apply_schedule(case.pipe, schedule, cuda_graphs=capturer) as handle:
        for number in range(broken):
            assert torch.equal(run(case, number), expected[number])
        with monkeypatch.context() as patch:
            after_step(case, patch, 2, stop)
            with pytest.raises(ZeroDivisionError):
                run(case, 3)
        assert all(torch.equal(run(case, number), images) for number, images in enumerate(expected))
        assert counts(handle)[0] == graphs_for(case, schedule)


def test_an_error_in_the_transformer_leaves_nothing(pixart: Case, capturer: SimulatedCapturer) -> None:
    fails: list[bool] = []

    def fail(_processor: Any, value: torch.Tensor) -> torch.Tensor:
        if fails:
            raise ZeroDivisionError
        return value

    in_the_attention(pixart, fail)
    schedule = schedule_for("pixart-guided")
    expected = without_graphs(pixart, schedule, 0, 1, 2)
    with apply_schedule(pixart.pipe, schedule, cuda_graphs=capturer) as handle:
        fails.append(True)
        with pytest.raises(ZeroDivisionError):
            run(pixart)
        fails.clear()
        assert all(torch.equal(run(pixart, number), images) for number, images in enumerate(expected))
        assert why_not(handle) == ()
        fails.append(True)
        assert torch.equal(run(pixart), expected[0])  # no Python runs, so nothing can fail


def test_removal_leaves_nothing(flux: Case, capturer: SimulatedCapturer) -> None:
    schedule = schedule_for("flux-true-cfg")
    plain = flux.generate(steps=STEPS)
    before = everything_on(flux.pipe.transformer)
    handle = apply_schedule(flux.pipe, schedule, cuda_graphs=capturer)
    for number in range(3):
        run(flux, number)
    assert handle._graphs is not None
    branches = handle._graphs._branches.values()
    held = [weakref.ref(tensor) for each in branches for tensor in (*each.inputs.tensors, *each.slots.tensors)]
    held += [weakref.ref(graph) for each in branches for graph in each.graphs.values()]
    assert handle.cuda_graphs is not None
    assert handle.cuda_graphs.nbytes > handle.cache_bytes() > 0
    del branches
    handle.remove()
    gc.collect()
    assert [reference for reference in held if reference() is not None] == []
    assert everything_on(flux.pipe.transformer) == before
    assert counts(handle)[0] == handle.cuda_graphs.nbytes == handle.cache_bytes() == 0
    assert torch.equal(with_prompt(flux, 0).generate(steps=STEPS), plain)


def test_without_cuda_they_are_refused(pixart: Case) -> None:
    with pytest.raises(ScheduleError, match=r"need a transformer on CUDA, but this PixArt.* is on cpu; move .*\.to\("):
        apply_schedule(pixart.pipe, schedule_for("pixart-guided"), cuda_graphs=True)
    with apply_schedule(pixart.pipe, schedule_for("pixart-guided")) as handle:
        assert handle.cuda_graphs is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cache_device": "meta"}, "cannot keep cached outputs on meta, since the transformer is on cpu"),
        ({"compile": {"mode": "reduce-overhead"}}, "with 'reduce-overhead'; take mode="),
        ({"compile": {"options": {"triton.cudagraphs": True}}}, "with 'triton.cudagraphs'; take mode="),
    ],
)
def test_options_that_do_not_go_together(
    options: dict[str, Any], message: str, pixart: Case, capturer: SimulatedCapturer
) -> None:
    with pytest.raises(ScheduleError, match=message):
        apply_schedule(pixart.pipe, schedule_for("pixart-guided"), cuda_graphs=capturer, **options)
    with apply_schedule(pixart.pipe, schedule_for("pixart-guided"), cuda_graphs=capturer, cache_device="cpu"):
        run(pixart)


def test_a_transformer_on_several_devices_is_refused(pixart: Case, capturer: SimulatedCapturer) -> None:
    pixart.pipe.transformer.proj_out.to("meta")
    with pytest.raises(ScheduleError, match="on one device, but the weights of PixArt.* are on cpu, meta;"):
        apply_schedule(pixart.pipe, schedule_for("pixart-guided"), cuda_graphs=capturer)
