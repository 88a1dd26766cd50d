"""The bundled FLUX model is loaded by name, called as its page says, and judged by its own rewards."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from diffusers import FluxPipeline

from ecad_automl.api.given_model import as_model
from ecad_automl.bundled import BUNDLED, bundled_name
from ecad_automl.flow_shapes import WEIGHTS
from ecad_automl.models import LoadedModel, load_model, model_layout
from ecad_automl.models.generation import encode_prompts, generate_batch
from ecad_automl.rewards import load_reward


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    loaded = load_model("flow-shapes", device="cpu")
    loaded.pipe.set_progress_bar_config(disable=True)
    return loaded


def test_its_folder_is_one_of_diffusers(model: LoadedModel) -> None:
    pipe = FluxPipeline.from_pretrained(WEIGHTS, dtype=torch.float32)
    assert bundled_name(WEIGHTS) == "flow-shapes"
    given = as_model(pipe)
    assert (given.name, given.settings, given.revision) == (model.name, model.settings, model.revision)
    assert model.pipe.transformer.config.guidance_embeds


def test_it_is_called_as_flux_is(model: LoadedModel) -> None:
    assert model.settings.steps == BUNDLED["flow-shapes"].steps == 28
    assert model.settings.call_arguments()["guidance_scale"] == 3.0
    layout = model_layout(model)
    assert layout.transformer == "FluxTransformer2DModel"
    assert len(layout.blocks) == 12


def test_its_rewards_know_its_captions(model: LoadedModel) -> None:
    """Most of what a caption says is right in images of the whole run, and wrong in those of another caption."""
    captions = BUNDLED["flow-shapes"].prompts("held-out", 4)
    images = generate_batch(model.pipe, encode_prompts(model.pipe, captions, model.settings), range(4), model.settings)
    caption = load_reward("flow-shapes-caption")
    assert np.mean(caption.score(images, captions)) > np.mean(caption.score(images, captions[::-1])) + 1
    fidelity = load_reward("flow-shapes-fidelity")
    assert fidelity.score_pairs(images, images, captions).tolist() == pytest.approx([0.0] * 4, abs=1e-6)
    assert (fidelity.score_pairs(images, images.flip(-1), captions) < -0.05).all()


def test_its_card_says_what_was_measured() -> None:
    found = json.loads((WEIGHTS / "quality.json").read_text())
    convergence = found["convergence"]
    assert convergence["PSNR of 28 against 56 steps"] > convergence["PSNR of 28 against 14 steps"] + 3
    assert found["classifier on held-out renders"]["whole pictures"] > 0.9
