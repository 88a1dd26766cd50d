"""Schedules together with what else people do to pipelines; docs/combinations.md lists the outcomes."""

from __future__ import annotations

import functools
import logging
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from accelerate import cpu_offload
from diffusers.hooks import apply_group_offloading
from diffusers.models.attention_dispatch import attention_backend
from diffusers.models.attention_processor import AttnProcessor
from peft import LoraConfig, inject_adapter_in_model
from peft.utils import get_peft_model_state_dict
from torch import nn
from torch.testing import assert_close

from ecad_automl.errors import CacheStateError, UnsupportedModelError
from ecad_automl.runtime import apply_schedule
from ecad_automl.schedules.schedule import Schedule
from tests.runtime.cases import CASES, Case

if TYPE_CHECKING:
    from tests.runtime.conftest import Reference

PIXART, FLUX, SD3 = CORE = ("pixart-guided", "flux", "sd3-guided")
CPU = torch.device("cpu")
STEPS = 3
#: The schedule is applied, or between two runs under it.
WHEN = ("before", "after", "between")
#: How the names of combinations that quantise layers begin.
QUANTISED = ("quantize", "torchao", "bitsandbytes")
#: Modules of all three transformers, in slots and outside, that a LoRA is put on.
LORA_TARGETS = ["to_q", "to_k", "to_out.0", "proj_mlp", "proj_out", "linear", "ff.net.0.proj"]

Put = Callable[[Case, Path], None]


@dataclass(frozen=True)
class Combination:
    """Something done to a pipeline before, between or during its runs.

    Args:
        put: does it; gets a folder of its own.
        during: what each run is made in.
        cases: where it is tried: where diffusers itself can do it, and on Stable Diffusion 3 what it may matter for.
        tolerance: of fused adds, relative to the largest latent; None where rounding is so coarse that it is tested
            apart.
        recorded: whether no block has to be run whole even if it is done before the schedule is applied.
        needs: a package without which it is skipped.
    """

    put: Put = lambda case, folder: None
    during: Callable[[], AbstractContextManager[Any]] = nullcontext
    cases: tuple[str, ...] = (PIXART, FLUX)
    tolerance: float | None = 1e-4
    recorded: bool = True
    needs: str | None = None

    def run(self, case: Case) -> torch.Tensor:
        with self.during():
            return case.generate(steps=STEPS)


def to_dtype(dtype: torch.dtype) -> Put:
    def put(case: Case, folder: Path) -> None:
        case.pipe.to(dtype=dtype)
        inputs = case.inputs
        case.inputs = lambda images: {
            name: value.to(dtype) if isinstance(value, torch.Tensor) else value
            for name, value in inputs(images).items()
        }

    return put


def group_offloading(kind: str, *, on_disk: bool = False) -> Put:
    """On disk, weights are garbage except between the hooks that load and drop them."""

    def put(case: Case, folder: Path) -> None:
        apply_group_offloading(
            case.pipe.transformer,
            onload_device=CPU,
            offload_device=CPU,
            offload_type=kind,
            num_blocks_per_group=1 if kind == "block_level" else None,
            offload_to_disk_path=str(folder) if on_disk else None,
        )

    return put


def on_transformer(change: Callable[[Any], object]) -> Put:
    return lambda case, folder: (change(case.pipe.transformer), None)[1]


def quantize_dynamically(transformer: nn.Module) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is on its way out of PyTorch, and says so
        torch.ao.quantization.quantize_dynamic(transformer, {nn.Linear}, inplace=True)


def quantize_by_torchao(config: str) -> Put:
    def put(case: Case, folder: Path) -> None:
        from torchao import quantization

        quantization.quantize_(case.pipe.transformer, getattr(quantization, config)())

    return put


def quantize_by_bitsandbytes(kind: str) -> Put:
    """Put the layers in that ``BitsAndBytesConfig`` would; diffusers' own loader takes a GPU only."""

    def replaced(layer: nn.Linear) -> nn.Module:
        from bitsandbytes import nn as bnb

        size, bias = (layer.in_features, layer.out_features), layer.bias is not None
        if kind == "int8":
            new = bnb.Linear8bitLt(*size, bias=bias, has_fp16_weights=False)
            new.weight = bnb.Int8Params(layer.weight.data, requires_grad=False, has_fp16_weights=False)
        else:
            new = bnb.Linear4bit(*size, bias=bias, quant_type=kind, compute_dtype=torch.float32)
            new.weight = bnb.Params4bit(layer.weight.data, requires_grad=False, quant_type=kind)
        new.bias = layer.bias
        return new.to("cpu")

    def put(case: Case, folder: Path) -> None:
        for module in list(case.pipe.transformer.modules()):
            for name, child in module.named_children():
                if type(child) is nn.Linear:
                    setattr(module, name, replaced(child))

    return put


def halve_attention(transformer: Any) -> None:
    """Processors of somebody's own."""

    def halved(kind: type) -> type:
        class Halved(kind):  # type: ignore[misc]
            @functools.wraps(kind.__call__)  # diffusers looks at the signature
            def __call__(self, *args: Any, **kwargs: Any) -> Any:
                output = super().__call__(*args, **kwargs)
                return tuple(part / 2 for part in output) if isinstance(output, tuple) else output / 2

        return Halved

    processors = transformer.attn_processors
    transformer.set_attn_processor({name: halved(type(each))() for name, each in processors.items()})


def add_lora(transformer: Any) -> None:
    torch.manual_seed(3)
    config = LoraConfig(r=2, init_lora_weights=False, target_modules=LORA_TARGETS)
    if hasattr(transformer, "add_adapter"):
        transformer.add_adapter(config)
    else:  # PixArt
        inject_adapter_in_model(config, transformer)


COMBINATIONS: dict[str, Combination] = {
    "fp16": Combination(to_dtype(torch.float16), tolerance=None),
    "bf16": Combination(to_dtype(torch.bfloat16), cases=CORE, tolerance=None),
    "autocast": Combination(during=lambda: torch.autocast("cpu", torch.bfloat16), tolerance=None),
    "inference-mode": Combination(during=torch.inference_mode),
    "train-mode": Combination(on_transformer(lambda transformer: transformer.train())),
    "channels-last": Combination(on_transformer(lambda transformer: transformer.to(memory_format=torch.channels_last))),
    "model-offload": Combination(lambda case, folder: case.pipe.enable_model_cpu_offload(device="cpu")),
    "sequential-offload": Combination(
        # What enable_sequential_cpu_offload calls for each model.
        on_transformer(lambda transformer: cpu_offload(transformer, CPU, offload_buffers=True)),
        cases=CORE,
        recorded=False,
    ),
    "group-offload-blocks": Combination(group_offloading("block_level"), cases=(FLUX,), recorded=False),
    "group-offload-leaves": Combination(group_offloading("leaf_level"), cases=(FLUX,), recorded=False),
    "group-offload-blocks-disk": Combination(group_offloading("block_level", on_disk=True), recorded=False),
    "group-offload-leaves-disk": Combination(group_offloading("leaf_level", on_disk=True), recorded=False),
    "layerwise-casting": Combination(
        on_transformer(
            lambda transformer: transformer.enable_layerwise_casting(
                storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.float32
            )
        )
    ),
    "lora": Combination(on_transformer(add_lora), cases=CORE),
    "quantize-dynamic": Combination(on_transformer(quantize_dynamically), tolerance=1e-2),
    "torchao-int8": Combination(quantize_by_torchao("Int8WeightOnlyConfig"), cases=CORE, needs="torchao"),
    "torchao-int8-dynamic": Combination(
        quantize_by_torchao("Int8DynamicActivationInt8WeightConfig"), tolerance=1e-2, cases=CORE, needs="torchao"
    ),
    "bitsandbytes-int8": Combination(quantize_by_bitsandbytes("int8"), cases=CORE, needs="bitsandbytes"),
    "bitsandbytes-nf4": Combination(quantize_by_bitsandbytes("nf4"), cases=CORE, needs="bitsandbytes"),
    "fuse-qkv": Combination(on_transformer(lambda transformer: transformer.fuse_qkv_projections())),
    "attention-backend": Combination(
        on_transformer(lambda transformer: transformer.set_attention_backend("_native_math"))
    ),
    "attention-backend-context": Combination(during=lambda: attention_backend("_native_math"), cases=(FLUX,)),
    "own-processors": Combination(on_transformer(halve_attention), cases=CORE),
    "plain-processor": Combination(
        on_transformer(lambda transformer: transformer.set_attn_processor(AttnProcessor())), cases=(PIXART,)
    ),
    "attention-slicing": Combination(lambda case, folder: case.pipe.enable_attention_slicing(1)),
}
EACH = [
    pytest.param(combination, name, id=f"{key}-{name}")
    for key, combination in COMBINATIONS.items()
    for name in combination.cases
]


@functools.cache
def schedule_for(name: str) -> Schedule:
    """Counting a layout takes longer than a run."""
    return CASES[name]().random_schedule(1, STEPS)


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Diffusers logs that some of this is experimental."""
    for name in ("diffusers", "peft"):
        caplog.set_level(logging.CRITICAL, logger=name)


@pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")  # norms under autocast
@pytest.mark.parametrize(("combination", "name"), EACH)
def test_a_schedule_works_with(combination: Combination, name: str, reference: Reference, tmp_path: Path) -> None:
    if combination.needs is not None:
        pytest.importorskip(combination.needs, reason=f"{combination.needs} is not installed")

    def new(*, put: bool) -> Case:
        case = CASES[name]()
        if put:
            combination.put(case, tmp_path)
        return case

    # A case of its own, since the reference takes wrapped forwards off the slots when it is done.
    case = new(put=True)
    plain = combination.run(case)
    schedule = schedule_for(name)
    expected = reference(case, schedule, lambda: combination.run(case))
    assert not torch.equal(expected, plain)

    # All of them for each would take too long.
    orders = ("between",) if name == SD3 else ("before", "between") if combination.recorded else WHEN
    for when in orders:
        case = new(put=when == "before")
        handle = apply_schedule(case.pipe, schedule, fuse=False)
        if when == "between":
            case.generate(steps=STEPS)
        if when != "before":
            combination.put(case, tmp_path)
        assert torch.equal(combination.run(case), expected), when
        if when == "before":
            assert torch.equal(combination.run(case), expected)
        if combination.recorded or when != "before":
            assert handle.whole_blocks == {}, when
        handle.remove()
        assert torch.equal(combination.run(case), plain), when

    if combination.tolerance is not None:
        with apply_schedule(case.pipe, schedule):
            scale = float(expected.abs().max())
            assert_close(
                combination.run(case), expected, rtol=combination.tolerance, atol=combination.tolerance * scale
            )


@pytest.mark.parametrize("key", [key for key in COMBINATIONS if key.startswith(QUANTISED)])
@pytest.mark.parametrize("name", [PIXART, FLUX])
def test_computing_all_is_the_quantised_pipeline(key: str, name: str, tmp_path: Path) -> None:
    combination, case = COMBINATIONS[key], CASES[name]()
    if combination.needs is not None:
        pytest.importorskip(combination.needs, reason=f"{combination.needs} is not installed")
    exact = case.generate(steps=STEPS)
    combination.put(case, tmp_path)
    quantised = case.generate(steps=STEPS)
    assert not torch.equal(quantised, exact)
    with apply_schedule(case.pipe, Schedule.all_compute(case.layout, STEPS)) as handle:
        assert torch.equal(case.generate(steps=STEPS), quantised)
        assert handle.whole_blocks == {}


@pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")
@pytest.mark.parametrize("key", ["fp16", "bf16", "autocast"])
@pytest.mark.parametrize("name", CORE)
def test_fused_adds_round_no_worse_in_low_precision(key: str, name: str, reference: Reference, tmp_path: Path) -> None:
    exact_case, case = CASES[name](), CASES[name]()
    schedule = schedule_for(name)
    exact = reference(exact_case, schedule, lambda: exact_case.generate(steps=STEPS))
    combination = COMBINATIONS[key]
    combination.put(case, tmp_path)
    errors = []
    for fuse in (False, True):
        with apply_schedule(case.pipe, schedule, fuse=fuse):
            errors.append(float((combination.run(case).float() - exact).norm()))
    assert 0 < errors[1] < 1.3 * errors[0]


@pytest.mark.filterwarnings("ignore:Already found a `peft_config` attribute")  # on the second LoRA
@pytest.mark.parametrize("loaded_before", [0, 2])
@pytest.mark.parametrize("name", [FLUX, SD3])
def test_loras_may_come_change_and_go_under_a_schedule(name: str, loaded_before: int, reference: Reference) -> None:
    weights = [lora_weights(CASES[name](), seed) for seed in (3, 5)]
    changes: list[Callable[[Any], object]] = [
        lambda pipe: pipe.load_lora_weights(dict(weights[0]), adapter_name="one"),
        lambda pipe: pipe.load_lora_weights(dict(weights[1]), adapter_name="two"),
        lambda pipe: pipe.set_adapters(["one", "two"], [0.5, 0.25]),
        lambda pipe: pipe.set_adapters(["one"], [2.0]),
        lambda pipe: pipe.disable_lora(),
        lambda pipe: pipe.enable_lora(),
        lambda pipe: pipe.fuse_lora(components=["transformer"]),
        lambda pipe: pipe.unfuse_lora(components=["transformer"]),
        lambda pipe: pipe.unload_lora_weights(),
    ]
    case, other = CASES[name](), CASES[name]()
    schedule = schedule_for(name)
    for change in changes[:loaded_before]:
        change(case.pipe)
        change(other.pipe)
    seen = []
    with apply_schedule(case.pipe, schedule, fuse=False) as handle:
        for change in changes[loaded_before:]:
            change(case.pipe)
            change(other.pipe)
            seen.append(case.generate(steps=STEPS))
            assert torch.equal(seen[-1], reference(other, schedule, lambda: other.generate(steps=STEPS)))
            assert handle.whole_blocks == {}
    assert not torch.equal(seen[0], seen[-1])
    assert torch.equal(case.generate(steps=STEPS), other.generate(steps=STEPS))


def lora_weights(case: Case, seed: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    transformer = case.pipe.transformer
    transformer.add_adapter(LoraConfig(r=2, init_lora_weights=False, target_modules=LORA_TARGETS))
    return {f"transformer.{name}": value for name, value in get_peft_model_state_dict(transformer).items()}


@pytest.mark.parametrize("name", [FLUX, SD3])
def test_the_scale_of_a_lora_may_be_an_argument_of_the_call(name: str, reference: Reference) -> None:
    case = CASES[name]()
    schedule = schedule_for(name)
    add_lora(case.pipe.transformer)
    with apply_schedule(case.pipe, schedule, fuse=False):
        results = [case.generate(steps=STEPS, joint_attention_kwargs={"scale": scale}) for scale in (1.0, 0.3)]
    for scale, result in zip((1.0, 0.3), results, strict=True):
        expected = reference(
            case, schedule, lambda scale=scale: case.generate(steps=STEPS, joint_attention_kwargs={"scale": scale})
        )
        assert torch.equal(result, expected)
    assert not torch.equal(*results)


@pytest.mark.parametrize("option", ["tiling", "slicing"])
def test_a_vae_in_tiles_or_slices(pixart: Case, option: str, reference: Reference) -> None:
    vae = pixart.pipe.vae
    getattr(vae, f"enable_{option}")()
    if option == "tiling":
        vae.tile_sample_min_size, vae.tile_latent_min_size = 8, 4

    def run() -> torch.Tensor:
        return torch.as_tensor(np.array(pixart.generate(steps=STEPS, images=2, output_type="np")))

    schedule = schedule_for(PIXART)
    before = run()
    with apply_schedule(pixart.pipe, schedule, fuse=False):
        under_schedule = run()
    assert torch.equal(run(), before)
    assert torch.equal(under_schedule, reference(pixart, schedule, run))


# The other pipelines repeat no pooled embeddings that they are given.
def test_several_prompts_and_several_images_of_each(pixart: Case, reference: Reference) -> None:
    def run() -> torch.Tensor:
        return pixart.generate(steps=STEPS, images=2, num_images_per_prompt=2)

    schedule = schedule_for(PIXART)
    before = run()
    with apply_schedule(pixart.pipe, schedule, fuse=False):
        under_schedule = run()
    assert len(under_schedule) == 4
    assert torch.equal(run(), before)
    assert torch.equal(under_schedule, reference(pixart, schedule, run))


def with_gradients(case: Case) -> torch.Tensor:
    """A run by the pipeline's call without its ``torch.no_grad``."""
    arguments = case.arguments(1) | {"num_inference_steps": STEPS, "generator": torch.Generator().manual_seed(0)}
    output = type(case.pipe).__call__.__wrapped__(case.pipe, **arguments)
    latents: torch.Tensor = next(iter(output.values()))
    return latents


@pytest.mark.parametrize("name", CORE)
def test_gradients_flow_through_a_run(name: str, reference: Reference) -> None:
    case = CASES[name]()
    schedule = schedule_for(name)

    def gradients(latents: torch.Tensor) -> dict[str, torch.Tensor]:
        case.pipe.transformer.zero_grad()
        latents.square().sum().backward()
        parameters = case.pipe.transformer.named_parameters()
        return {key: each.grad.clone() for key, each in parameters if each.grad is not None}

    expected = gradients(reference(case, schedule, lambda: with_gradients(case)))
    with apply_schedule(case.pipe, schedule, fuse=False):
        exact = gradients(with_gradients(case))
    with apply_schedule(case.pipe, schedule):
        close = gradients(with_gradients(case))
    assert exact.keys() == expected.keys() == close.keys()
    largest = max(float(value.abs().max()) for value in expected.values())
    for key, value in expected.items():
        assert torch.equal(exact[key], value), key
        assert_close(close[key], value, rtol=1e-3, atol=1e-5 * largest)


def test_gradient_checkpointing_is_refused(flux: Case) -> None:
    flux.pipe.transformer.train()
    flux.pipe.transformer.enable_gradient_checkpointing()
    with apply_schedule(flux.pipe, schedule_for(FLUX)):
        latents = with_gradients(flux)
        with pytest.raises(CacheStateError, match="was called on its own"):
            latents.sum().backward()


@pytest.mark.parametrize("kind", ["hook", "pre-hook", "forward"])
@pytest.mark.parametrize(("name", "path"), [(FLUX, "norm1"), (FLUX, "norm1.linear"), (FLUX, "attn"), (PIXART, "ff")])
def test_hooks_that_change_values_are_heard_once(name: str, path: str, kind: str, reference: Reference) -> None:
    def halved(output: Any) -> Any:
        return tuple(part / 2 for part in output) if isinstance(output, tuple) else output / 2

    def put(case: Case) -> None:
        module = case.pipe.transformer.transformer_blocks[0].get_submodule(path)
        if kind == "hook":
            module.register_forward_hook(lambda _module, _args, output: halved(output))
        elif kind == "pre-hook":
            module.register_forward_pre_hook(
                lambda _module, args, kwargs: (halved(args), kwargs if args else halve_first(kwargs)), with_kwargs=True
            )
        else:
            forward = module.forward
            module.forward = lambda *args, **kwargs: halved(forward(*args, **kwargs))

    def halve_first(kwargs: dict[str, Any]) -> dict[str, Any]:
        return kwargs | {"hidden_states": kwargs["hidden_states"] / 2}

    other = CASES[name]()
    schedule = schedule_for(name)
    put(other)
    expected = reference(other, schedule, lambda: other.generate(steps=STEPS))
    for when in WHEN:
        case = CASES[name]()
        if when == "before":
            put(case)
        with apply_schedule(case.pipe, schedule, fuse=False):
            if when == "between":
                assert not torch.equal(case.generate(steps=STEPS), expected)
            if when != "before":
                put(case)
            assert torch.equal(case.generate(steps=STEPS), expected), when
            assert torch.equal(case.generate(steps=STEPS), expected), when


@pytest.mark.parametrize(("whole", "when"), [(True, "before"), (False, "before"), (False, "between")])
def test_a_model_compiled_in_place_runs_blocks_uncompiled(
    flux: Case, whole: bool, when: str, reference: Reference
) -> None:
    transformer = flux.pipe.transformer
    schedule = schedule_for(FLUX)
    plain = flux.generate(steps=STEPS)
    expected = reference(flux, schedule, lambda: flux.generate(steps=STEPS))
    graphs: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, _inputs: object) -> Callable[..., Any]:
        graphs.append(graph)
        return graph.forward

    def put() -> None:
        (transformer.compile if whole else transformer.compile_repeated_blocks)(backend=backend)

    torch._dynamo.reset()
    if when == "before":
        put()
    with apply_schedule(flux.pipe, schedule, fuse=False):
        if when == "between":
            flux.generate(steps=STEPS)
            put()
        assert torch.equal(flux.generate(steps=STEPS), expected)
        # Tracing our hooks would make dozens, anew for other steps.
        assert len(graphs) <= (4 if whole else 0)
    assert torch.equal(flux.generate(steps=STEPS), plain)
    torch._dynamo.reset()


def test_a_transformer_may_be_wrapped_by_compile_after_applying(flux: Case, reference: Reference) -> None:
    schedule = schedule_for(FLUX)
    expected = reference(flux, schedule, lambda: flux.generate(steps=STEPS))
    real = flux.pipe.transformer
    torch._dynamo.reset()
    with apply_schedule(flux.pipe, schedule, fuse=False):
        flux.pipe.transformer = torch.compile(real, backend="eager")
        assert torch.equal(flux.generate(steps=STEPS), expected)
    torch._dynamo.reset()


def test_a_transformer_wrapped_by_compile_is_refused(pixart: Case) -> None:
    schedule = schedule_for(PIXART)
    pixart.pipe.transformer = torch.compile(pixart.pipe.transformer, backend="eager")
    with pytest.raises(UnsupportedModelError, match=r"wrapped by torch\.compile"):
        apply_schedule(pixart.pipe, schedule)


def test_blocks_wrapped_by_compile_are_refused(pixart: Case) -> None:
    schedule = schedule_for(PIXART)
    blocks = pixart.pipe.transformer.transformer_blocks
    real = blocks[1]
    with apply_schedule(pixart.pipe, schedule):
        blocks[1] = torch.compile(real, backend="eager")
        with pytest.raises(CacheStateError, match="replaced after the schedule was applied"):
            pixart.generate(steps=STEPS)
    with pytest.raises(UnsupportedModelError, match=r"blocks\.1 is wrapped by torch\.compile"):
        apply_schedule(pixart.pipe, schedule)
    blocks[1] = real
    with apply_schedule(pixart.pipe, schedule):
        pixart.generate(steps=STEPS)
