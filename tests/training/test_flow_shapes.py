"""Training goes on where it was interrupted, to the same end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ecad_automl.flow_shapes.world import random_scene
from training.flow_shapes.architecture import new_autoencoder, new_tokenizer
from training.flow_shapes.autoencoder import half_whiten, refine_decoder, render_batch, train_autoencoder
from training.flow_shapes.classifier import train_classifier
from training.flow_shapes.diffusion import Diffusion, LatentSet, draw_batch, run_decay, run_plateau, untrained
from training.flow_shapes.guidance import distil_guidance, without_guidance_embedding

#: PyTorch says so where a norm with float32 weights is given bfloat16.
pytestmark = pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")


def tiny_data() -> LatentSet:
    rng = np.random.default_rng(0)
    scenes = [random_scene(rng, "train") for _ in range(8)]
    return LatentSet(scenes, torch.from_numpy(rng.standard_normal((8, 64, 48), dtype=np.float32)).half())


def tiny() -> Diffusion:
    torch.manual_seed(0)
    return Diffusion(untrained(double_blocks=1, single_blocks=1), tiny_data(), seed=0, batch=4, compiled=False)


def weights(diffusion: Diffusion) -> dict[str, torch.Tensor]:
    parts = {"model": diffusion.model, "average": diffusion.average}
    return {f"{name}.{key}": value for name, part in parts.items() for key, value in part.state_dict().items()}


@pytest.mark.slow
def test_an_interrupted_training_ends_with_the_very_weights_of_an_unbroken_one(tmp_path: Path) -> None:
    whole = tiny()
    run_plateau(whole, tmp_path / "whole.pt", 2)
    run_decay(whole, tmp_path / "whole.pt", tmp_path / "whole-decay.pt", 2)
    run_plateau(tiny(), tmp_path / "plateau.pt", 1)
    run_plateau(tiny(), tmp_path / "plateau.pt", 2)

    interrupted = tiny()
    step = interrupted.step

    def stop(number: int) -> dict[str, torch.Tensor]:
        if number == 3:
            raise KeyboardInterrupt
        return step(number)

    interrupted.step = stop  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        run_decay(interrupted, tmp_path / "plateau.pt", tmp_path / "decay.pt", 2)
    resumed = tiny()
    run_decay(resumed, tmp_path / "plateau.pt", tmp_path / "decay.pt", 2)
    expected = weights(whole)
    for name, value in weights(resumed).items():
        assert torch.equal(value, expected[name]), name


@pytest.mark.slow
def test_a_longer_plateau_begins_a_new_decay(tmp_path: Path) -> None:
    plateau, decay = tmp_path / "plateau.pt", tmp_path / "decay.pt"
    run_plateau(tiny(), plateau, 1)
    run_decay(tiny(), plateau, decay, 1)
    run_plateau(tiny(), plateau, 2)
    diffusion = tiny()
    run_decay(diffusion, plateau, decay, 1)
    fresh = tiny()
    run_decay(fresh, plateau, tmp_path / "fresh.pt", 1)
    expected = weights(fresh)
    assert all(torch.equal(value, expected[name]) for name, value in weights(diffusion).items())


def test_latents_are_kept_while_the_encoder_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.common.latents._BATCH", 8)
    torch.manual_seed(0)
    autoencoder = new_autoencoder().eval().requires_grad_(False)
    made = LatentSet.load_or_make(tmp_path / "latents.pt", autoencoder, 8, 0)
    assert made.latents.shape == (8, 64, 48)
    kept = LatentSet.load_or_make(tmp_path / "latents.pt", autoencoder, 8, 1)
    assert torch.equal(kept.latents, made.latents)
    other = LatentSet.load_or_make(tmp_path / "latents.pt", new_autoencoder().eval(), 8, 0)
    assert not torch.equal(other.latents, made.latents)


def test_the_autoencoder_begins_as_that_of_the_first_model(tmp_path: Path) -> None:
    """Untrained, whitened and with new channels it still shows the pictures."""
    model = train_autoencoder(tmp_path, steps=0, batch=4)
    pictures = render_batch(16, np.random.default_rng(0))
    before = model.decode(model.encode(pictures).latent_dist.mean).sample
    assert (before - pictures).square().mean() < 0.2
    half_whiten(model, pictures=64)
    after = model.decode(model.encode(pictures).latent_dist.mean).sample
    assert torch.allclose(before, after, atol=1e-2)
    latents = model.encode(pictures).latent_dist.mean * model.config.scaling_factor
    assert float(latents.std()) == pytest.approx(1, abs=0.2)
    encoder = {name: value.clone() for name, value in model.encoder.state_dict().items()}
    refine_decoder(tmp_path, model, steps=1, batch=4)
    assert all(torch.equal(value, encoder[name]) for name, value in model.encoder.state_dict().items())


def test_the_classifier_trains(tmp_path: Path) -> None:
    classifier = train_classifier(tmp_path, steps=1)
    assert (tmp_path / "classifier.pt").exists()
    assert float(classifier.temperatures.min()) > 0.1


@pytest.mark.slow
def test_guidance_is_learnt_from_a_model_that_knows_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.flow_shapes.guidance._BATCH", 8)

    def teacher() -> torch.nn.Module:
        model = tiny().average
        # An untrained transformer gives zeros, with which there is nothing to learn.
        torch.nn.init.normal_(model.transformer.proj_out.weight, std=0.1)
        torch.nn.init.normal_(model.transformer.norm_out.linear.weight, std=0.1)
        return model

    noisy, tokens = draw_batch(tiny_data(), new_tokenizer(), 4, np.random.default_rng(0))
    levels = torch.full((4,), 0.5)
    model = teacher()
    plain = model(noisy, levels, tokens)
    student = distil_guidance(tmp_path, model, tiny_data(), steps=0, compiled=False)
    for scale in (1.0, 4.0):
        torch.testing.assert_close(student(noisy, levels, tokens, torch.full((4,), scale)), plain)
    first = distil_guidance(tmp_path / "a", teacher(), tiny_data(), steps=2, compiled=False)
    distil_guidance(tmp_path / "b", teacher(), tiny_data(), steps=1, compiled=False)
    resumed = distil_guidance(tmp_path / "b", teacher(), tiny_data(), steps=2, compiled=False)
    for name, value in first.state_dict().items():
        assert value.shape == resumed.state_dict()[name].shape
    scaled = [first(noisy, levels, tokens, torch.full((4,), scale)) for scale in (1.0, 4.0)]
    assert not torch.equal(*scaled)
    torch.nn.init.normal_(first.transformer.time_text_embed.guidance_embedder.linear_2.weight)
    unguided = first(noisy, levels, tokens, torch.ones(4))
    first.transformer = without_guidance_embedding(first.transformer)
    torch.testing.assert_close(first(noisy, levels, tokens), unguided)
