"""What else people do to pipelines beside schedules; docs/combinations.md lists the outcomes."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import cpu_offload
from diffusers.hooks import apply_group_offloading
from diffusers.models.attention_dispatch import attention_backend
from diffusers.models.attention_processor import AttnProcessor
from peft import LoraConfig, inject_adapter_in_model
from torch import nn

from ecad_automl.schedules.schedule import Schedule
from tests.runtime.cases import CASES, Case

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
