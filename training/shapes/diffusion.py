"""Trains the bundled text encoder and transformer on latents of renders."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, PixArtTransformer2DModel
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast, T5EncoderModel

from ecad_automl.shapes.world import Scene, random_caption, random_scene
from training.common import latents
from training.common.optimizing import muon_and_adamw, update_average
from training.common.progress import train
from training.shapes.architecture import new_scheduler, new_text_encoder, new_tokenizer, new_transformer
from training.shapes.render import render

_BATCH = 64
_CAPTION_DROPOUT = 0.1
_DECAY_SHARE = 0.35
_EMA = 0.998


class LatentSet(latents.LatentSet[Scene]):
    """Scenes and their latents, ``(n, 8, 16, 16)`` float16."""

    @staticmethod
    def _scene(rng: np.random.Generator) -> Scene:
        return random_scene(rng, "train")

    @staticmethod
    def _render(scenes: Sequence[Scene], rng: np.random.Generator) -> NDArray[np.float32]:
        return render(scenes, rng)

    @staticmethod
    def _encode(autoencoder: AutoencoderKL, pictures: Tensor) -> Tensor:
        scaled: Tensor = autoencoder.encode(pictures).latent_dist.mean * autoencoder.config.scaling_factor
        return scaled


class TextToLatent(nn.Module):
    """Text encoder and transformer, trained as one model."""

    def __init__(self, text_encoder: T5EncoderModel, transformer: PixArtTransformer2DModel) -> None:
        super().__init__()
        self.text_encoder = text_encoder
        self.transformer = transformer

    def forward(self, noisy: Tensor, timesteps: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        """Predicted velocity ``(n, 8, 16, 16)`` for noisy latents, timesteps ``(n,)`` and captions ``(n, tokens)``."""
        text = self.text_encoder(tokens, attention_mask=mask).last_hidden_state
        prediction: Tensor = self.transformer(
            noisy,
            encoder_hidden_states=text,
            encoder_attention_mask=mask,
            timestep=timesteps,
            added_cond_kwargs={"resolution": None, "aspect_ratio": None},
            return_dict=False,
        )[0]
        return prediction


def train_diffusion(
    folder: Path,
    autoencoder: AutoencoderKL,
    *,
    steps: int,
    pictures: int,
    seed: int = 0,
    init: Path | None = None,
    compiled: bool = True,
) -> tuple[PreTrainedTokenizerFast, TextToLatent]:
    """Train, or go on training, text encoder and transformer to predict the velocity of noisy latents.

    The matrices inside the blocks are trained by Muon (Jordan et al. 2024), all else by AdamW.

    Args:
        folder: for ``diffusion.pt`` and ``latents.pt``.
        autoencoder: trained and half whitened.
        steps: number of steps in all.
        pictures: how many latents to train on.
        seed: of weights, scenes and noise.
        init: folder of a finished pipeline whose weights to start from; None starts from nothing. A checkpoint in
            ``folder`` goes before.
        compiled: use ``torch.compile``: about twice as fast after a minute.

    Returns:
        The tokenizer and the exponential moving average of the trained weights.

    Raises:
        EcadError: this PyTorch has no Muon.
    """
    tokenizer = new_tokenizer()
    data = LatentSet.load_or_make(folder / "latents.pt", autoencoder, pictures, seed)
    torch.manual_seed(seed)
    model = (_untrained(len(tokenizer)) if init is None else _trained(init)).train()
    average = copy.deepcopy(model).requires_grad_(False)
    optimizers = _optimizers(model)
    alphas = new_scheduler().alphas_cumprod
    predict = torch.compile(model) if compiled else model
    # Weights to start from have seen the batches and the noise of a run from nothing.
    stream = 4 if init is None else 9

    def step(number: int) -> dict[str, Tensor]:
        rng = np.random.default_rng([seed, stream, number])
        clean, tokens, mask = _draw(data, tokenizer, rng)
        noise = torch.from_numpy(rng.standard_normal(clean.shape, dtype=np.float32))
        # Evenly spread timesteps, one from each of equal ranges, make the loss less noisy than independent ones.
        timesteps = torch.from_numpy((np.arange(_BATCH) + rng.random(_BATCH)) * 1000 / _BATCH).long()
        signal = alphas[timesteps].sqrt()[:, None, None, None]
        spread = (1 - alphas[timesteps]).sqrt()[:, None, None, None]
        predicted = predict(signal * clean + spread * noise, timesteps, tokens, mask)
        loss = (predicted - (signal * noise - spread * clean)).square().mean()
        model.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        update_average(average, model, min(_EMA, (1 + number) / (10 + number)))
        return {"loss": loss.detach()}

    parts = {"model": model, "average": average}
    train("diffusion", folder / "diffusion.pt", parts, optimizers, steps, step, decay_share=_DECAY_SHARE)
    return tokenizer, average.eval()


def _untrained(vocabulary_size: int) -> TextToLatent:
    return TextToLatent(new_text_encoder(vocabulary_size), new_transformer())


def _trained(folder: Path) -> TextToLatent:
    text_encoder = T5EncoderModel.from_pretrained(folder, subfolder="text_encoder")
    return TextToLatent(text_encoder, PixArtTransformer2DModel.from_pretrained(folder, subfolder="transformer"))


def _optimizers(model: TextToLatent) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks, AdamW for the rest, at one learning rate."""
    blocks = [*model.text_encoder.encoder.block, *model.transformer.transformer_blocks]
    matrices = [module.weight for block in blocks for module in block.modules() if isinstance(module, nn.Linear)]
    return muon_and_adamw(model, matrices)


def _draw(
    data: LatentSet, tokenizer: PreTrainedTokenizerFast, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    indices = rng.integers(len(data.latents), size=_BATCH)
    dropped = rng.random(_BATCH) < _CAPTION_DROPOUT
    captions = [
        "" if drop else random_caption(rng, data.scenes[index]) for index, drop in zip(indices, dropped, strict=True)
    ]
    encoded = tokenizer(captions, padding="max_length", return_tensors="pt")
    return data.latents[indices].float(), encoded.input_ids, encoded.attention_mask
