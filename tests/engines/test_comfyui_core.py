"""The node in ComfyUI's own core: COMFYUI names a clone of it, COMFYUI_VERSION what these were written with."""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

from ecad_automl.engines import export_for
from ecad_automl.schedules.whole_steps import of_whole_steps
from tests.engines.masks import MASK, layout

CORE = os.environ.get("COMFYUI")

pytestmark = [
    pytest.mark.skipif(CORE is None, reason="COMFYUI names no clone of ComfyUI"),
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture(scope="module")
def comfy() -> Any:
    """The core, on the CPU."""
    sys.path.insert(0, str(CORE))
    import_module("comfy.cli_args").args.cpu = True
    for name in ("model_base", "model_patcher", "sample", "supported_models"):
        import_module(f"comfy.{name}")
    return import_module("comfy")


def flux(comfy: Any) -> Any:
    torch.manual_seed(0)
    unet = {
        "image_model": "flux",
        "in_channels": 16,
        "out_channels": 16,
        "patch_size": 2,
        "vec_in_dim": 8,
        "context_in_dim": 12,
        "hidden_size": 32,
        "mlp_ratio": 2.0,
        "num_heads": 2,
        "depth": 2,
        "depth_single_blocks": 2,
        "axes_dim": [4, 6, 6],
        "theta": 10000,
        "qkv_bias": True,
        "guidance_embed": True,
        "dtype": torch.float32,
    }
    config = comfy.supported_models.Flux(unet)
    config.set_inference_dtype(torch.float32, None)
    model = comfy.model_base.Flux(config, device=torch.device("cpu"))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    cpu = torch.device("cpu")
    return comfy.model_patcher.ModelPatcher(model.eval(), load_device=cpu, offload_device=cpu)


def pixart(comfy: Any) -> Any:
    torch.manual_seed(0)
    unet = {
        "image_model": "pixart_alpha",
        "depth": 3,
        "hidden_size": 32,
        "num_heads": 2,
        "input_size": 32,
        "in_channels": 4,
        "patch_size": 2,
        "model_max_length": 6,
        "caption_channels": 12,
        "micro_condition": False,
        "dtype": torch.float32,
    }
    config = comfy.supported_models.PixArtAlpha(unet)
    config.set_inference_dtype(torch.float32, None)
    model = config.get_model({}, device=torch.device("cpu"))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    cpu = torch.device("cpu")
    return comfy.model_patcher.ModelPatcher(model.eval(), load_device=cpu, offload_device=cpu)


def sampled(comfy: Any, patcher: Any, *, cfg: float, steps: int = len(MASK)) -> Any:
    generator = torch.Generator().manual_seed(1)
    channels = patcher.model.latent_format.latent_channels

    def condition() -> Any:
        text = torch.randn(1, 6, 12, generator=generator)
        return [[text, {"pooled_output": torch.randn(1, 8, generator=generator), "guidance": 3.5}]]

    positive, negative = condition(), condition()
    latent = torch.zeros(2, channels, 64, 64)
    noise = torch.randn(latent.shape, generator=generator)
    return comfy.sample.sample(
        patcher, noise, steps, cfg, "euler", "simple", positive, negative, latent, disable_pbar=True
    )


def node_of(folder: Path, mask: Any = MASK) -> Any:
    """The node as a user has it: exported files, the node imported from its own."""
    made = export_for("comfyui", of_whole_steps(layout(), mask), "found")
    for name, text in made.files.items():
        (folder / name).write_text(text)
    sys.modules.pop("ecad_schedule_node", None)
    sys.path.insert(0, str(folder))
    try:
        module = import_module("ecad_schedule_node")
    finally:
        sys.path.remove(str(folder))
    return module.NODE_CLASS_MAPPINGS["EcadSchedule"]()


@pytest.mark.parametrize("make", [flux, pixart])
@pytest.mark.parametrize("cfg", [1.0, 4.0])
def test_the_core_computes_the_steps_of_the_mask(comfy: Any, tmp_path: Path, make: Any, cfg: float) -> None:
    patcher = make(comfy)
    calls: list[int] = []
    model = patcher.model.diffusion_model
    blocks = model.double_blocks if hasattr(model, "double_blocks") else model.blocks
    blocks[1].register_forward_hook(lambda *_: calls.append(1))
    plain = sampled(comfy, patcher, cfg=cfg)
    assert len(calls) == len(MASK)
    calls.clear()
    (under,) = node_of(tmp_path).apply(patcher, str(tmp_path / "found.comfyui.json"))
    cached = sampled(comfy, under, cfg=cfg)
    assert len(calls) == sum(MASK)
    assert torch.isfinite(cached).all()
    assert 0 < (cached - plain).abs().mean() < plain.std()
    # Nothing is left behind: neither in the next run nor on the model that came in.
    assert torch.equal(sampled(comfy, under, cfg=cfg), cached)
    assert torch.equal(sampled(comfy, patcher, cfg=cfg), plain)


def test_a_schedule_that_computes_all_changes_no_bit(comfy: Any, tmp_path: Path) -> None:
    patcher = flux(comfy)
    node = node_of(tmp_path)
    file = tmp_path / "found.comfyui.json"
    data = json.loads(file.read_text())
    file.write_text(json.dumps({**data, "actions": [1] * len(MASK)}))
    (under,) = node.apply(patcher, str(file))
    assert torch.equal(sampled(comfy, under, cfg=1.0), sampled(comfy, patcher, cfg=1.0))


def test_another_number_of_steps_is_an_error_that_says_which(comfy: Any, tmp_path: Path) -> None:
    (under,) = node_of(tmp_path).apply(flux(comfy), str(tmp_path / "found.comfyui.json"))
    with pytest.raises(ValueError, match="The schedule has 10 steps, but the sampler runs 7"):
        sampled(comfy, under, cfg=1.0, steps=7)
