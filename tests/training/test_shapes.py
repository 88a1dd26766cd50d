"""Training goes on where it was interrupted, to the same end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import PixArtTransformer2DModel
from torch import nn

from ecad_automl.shapes import WEIGHTS
from training.common.progress import learning_rate_factor, train
from training.shapes import autoencoder as autoencoder_stage
from training.shapes.autoencoder import half_whiten, refine_decoder, train_autoencoder
from training.shapes.classifier import train_classifier
from training.shapes.diffusion import train_diffusion


def toy(folder: Path, before_step: Callable[[int], None] = lambda _: None) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Linear(4, 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)

    def step(number: int) -> dict[str, torch.Tensor]:
        before_step(number)
        loss = (model(torch.randn(8, 4)) - 1).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return {"loss": loss.detach()}

    train("toy", folder / "toy.pt", {"model": model}, [optimizer], 20, step, decay_share=0.5)
    return model


def test_an_interrupted_training_ends_as_an_unbroken_one(tmp_path: Path) -> None:
    def interrupt(number: int) -> None:
        if number == 11:
            raise KeyboardInterrupt

    whole = toy(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        toy(tmp_path / "parts", interrupt)
    steps: list[int] = []
    resumed = toy(tmp_path / "parts", steps.append)
    assert steps == list(range(11, 20))
    assert torch.equal(resumed.weight, whole.weight)


def test_the_learning_rate_warms_up_stays_and_falls_to_zero() -> None:
    factors = [learning_rate_factor(step, 1000, decay_share=0.35) for step in range(1001)]
    assert factors[0] == pytest.approx(0.01)
    assert factors[100:649] == [1.0] * 549
    assert factors[1000] == 0.0
    assert all(0 <= factor <= 1 for factor in factors)


def test_whitening_changes_latents_but_not_reconstructions(tmp_path: Path) -> None:
    model = train_autoencoder(tmp_path, steps=1, compiled=False)
    pictures = autoencoder_stage.render_batch(8, np.random.default_rng(0))
    before_latents = model.encode(pictures).latent_dist.mean
    before = model.decode(before_latents).sample
    half_whiten(model, pictures=128)
    latents = model.encode(pictures).latent_dist.mean
    assert not torch.allclose(latents, before_latents)
    assert torch.allclose(model.decode(latents).sample, before, atol=1e-3)
    scaled = model.encode(autoencoder_stage.render_batch(64, np.random.default_rng(1))).latent_dist.mean
    assert float(scaled.std() * model.config.scaling_factor) == pytest.approx(1.0, abs=0.2)


def test_refining_the_decoder_leaves_latents_as_they_are(tmp_path: Path) -> None:
    model = train_autoencoder(tmp_path, steps=1, compiled=False)
    half_whiten(model, pictures=128)
    pictures = autoencoder_stage.render_batch(4, np.random.default_rng(0))
    latents = model.encode(pictures).latent_dist.mean
    decoded = model.decode(latents).sample
    refine_decoder(tmp_path, model, steps=2, compiled=False)
    assert torch.equal(model.encode(pictures).latent_dist.mean, latents)
    assert not torch.equal(model.decode(latents).sample, decoded)


@pytest.mark.slow
def test_every_stage_runs_and_a_finished_one_is_not_repeated(tmp_path: Path) -> None:
    model = train_autoencoder(tmp_path, steps=1, compiled=False)
    half_whiten(model, pictures=128)
    train_classifier(tmp_path, steps=1)
    _, first = train_diffusion(tmp_path, model, steps=2, pictures=128, compiled=False)
    _, again = train_diffusion(tmp_path, model, steps=2, pictures=128, compiled=False)
    for one, other in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.slow
def test_finished_weights_are_a_start(tmp_path: Path) -> None:
    model = train_autoencoder(tmp_path, steps=1, compiled=False)
    half_whiten(model, pictures=128)
    tokenizer, shipped = train_diffusion(tmp_path, model, steps=0, pictures=128, init=WEIGHTS, compiled=False)
    expected = PixArtTransformer2DModel.from_pretrained(WEIGHTS, subfolder="transformer")
    assert tokenizer.vocab_size == shipped.text_encoder.config.vocab_size
    for name, weight in expected.state_dict().items():
        assert torch.equal(shipped.transformer.state_dict()[name], weight)
