"""Trains the text encoders and the transformer of the bundled FLUX model on latents of renders."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Sequence
from pathlib import Path
from statistics import NormalDist

import numpy as np
import torch
from diffusers import AutoencoderKL, FluxTransformer2DModel
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import CLIPTextModel, PreTrainedTokenizerFast, T5EncoderModel

from ecad_automl.files.tensor_file import read_tensor_file
from ecad_automl.flow_shapes.world import Scene, random_caption, random_scene
from training.common import latents
from training.common.optimizing import LEARNING_RATE, muon_and_adamw, update_average
from training.common.progress import train
from training.flow_shapes.architecture import (
    LATENT_SIZE,
    MAX_TOKENS,
    new_pooled_text_encoder,
    new_text_encoder,
    new_tokenizer,
    new_transformer,
)
from training.flow_shapes.render import render

__all__ = [
    "ATTENTION",
    "LatentSet",
    "TextToVelocity",
    "draw_batch",
    "new_optimizers",
    "noise_levels",
    "pack",
    "train_diffusion",
]

_BATCH = 64
_CAPTION_DROPOUT = 0.1
_EMA = 0.998
#: Plain products are as fast for so few tokens, but their compiled gradients were not finite on a processor with AMX.
ATTENTION = [SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]
#: Most noise levels follow a logit-normal distribution, shifted towards much noise, where the scene is decided.
_LOGIT_MEAN, _LOGIT_SPREAD = 0.7, 1.2
_UNIFORM_SHARE = 0.125


def pack(latents: Tensor) -> Tensor:
    """Latents ``(n, c, 16, 16)`` as tokens ``(n, 64, 4 c)`` of 2 x 2, in the order of ``FluxPipeline``."""
    n, channels, height, width = latents.shape
    patches = latents.reshape(n, channels, height // 2, 2, width // 2, 2).permute(0, 2, 4, 1, 3, 5)
    return patches.reshape(n, height * width // 4, channels * 4)


def _image_ids() -> Tensor:
    """Row and column of every image token, ``(64, 3)``."""
    side = LATENT_SIZE // 2
    ids = torch.zeros(side, side, 3)
    ids[..., 1] = torch.arange(side)[:, None]
    ids[..., 2] = torch.arange(side)[None, :]
    return ids.reshape(-1, 3)


class LatentSet(latents.LatentSet[Scene]):
    """Scenes and their packed latents, ``(n, 64, 48)`` float16."""

    @staticmethod
    def _scene(rng: np.random.Generator) -> Scene:
        return random_scene(rng, "train")

    @staticmethod
    def _render(scenes: Sequence[Scene], rng: np.random.Generator) -> NDArray[np.float32]:
        return render(scenes, rng)

    @staticmethod
    def _encode(autoencoder: AutoencoderKL, pictures: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            found: Tensor = autoencoder.encode(pictures).latent_dist.mean
        return pack(found.float() * autoencoder.config.scaling_factor)


class TextToVelocity(nn.Module):
    """Both text encoders and the transformer, trained as one model."""

    def __init__(
        self, text_encoder: CLIPTextModel, text_encoder_2: T5EncoderModel, transformer: FluxTransformer2DModel
    ) -> None:
        super().__init__()
        self.text_encoder = text_encoder
        self.text_encoder_2 = text_encoder_2
        self.transformer = transformer
        self.register_buffer("image_ids", _image_ids(), persistent=False)
        self.register_buffer("text_ids", torch.zeros(MAX_TOKENS, 3), persistent=False)

    def forward(self, noisy: Tensor, levels: Tensor, tokens: Tensor, guidance: Tensor | None = None) -> Tensor:
        """Predicted velocity ``(n, 64, 48)``.

        Args:
            noisy: packed latents ``(n, 64, 48)``.
            levels: ``(n,)`` of noise, in [0, 1]; 1 is noise alone.
            tokens: captions ``(n, 20)``; as in the pipeline, padding is not masked.
            guidance: ``(n,)`` scales, where the transformer has an embedding of them.
        """
        pooled = self.text_encoder(tokens).pooler_output
        texts = self.text_encoder_2(tokens)[0]
        velocity: Tensor = self.transformer(
            hidden_states=noisy,
            encoder_hidden_states=texts,
            pooled_projections=pooled,
            timestep=levels,
            guidance=guidance,
            img_ids=self.image_ids,
            txt_ids=self.text_ids,
            return_dict=False,
        )[0]
        return velocity


def untrained(*, double_blocks: int | None = None, single_blocks: int | None = None) -> TextToVelocity:
    """The model before training, drawn from PyTorch's generator; other numbers of blocks are for tests."""
    size = len(new_tokenizer())
    blocks = {"double_blocks": double_blocks, "single_blocks": single_blocks}
    transformer = new_transformer(**{name: number for name, number in blocks.items() if number is not None})
    return TextToVelocity(new_pooled_text_encoder(size), new_text_encoder(size), transformer)


class Diffusion:
    """The training of one model, step by step.

    Args:
        model: trained in place; ``average`` is its moving average.
        data: what it learns from.
        seed: of the batches.
        batch: latents per step.
        compiled: use ``torch.compile``.
    """

    def __init__(
        self, model: TextToVelocity, data: LatentSet, *, seed: int, batch: int = _BATCH, compiled: bool = True
    ) -> None:
        self.model = model.train()
        self.average = copy.deepcopy(model).requires_grad_(False).eval()
        self.optimizers = new_optimizers(model)
        self._data, self._seed, self._batch = data, seed, batch
        self._tokenizer = new_tokenizer()
        if compiled:
            model.transformer.compile()

    def step(self, number: int) -> dict[str, Tensor]:
        """One step of all optimizers; what it draws depends on ``number`` alone."""
        rng = np.random.default_rng([self._seed, 4, number])
        clean, tokens = draw_batch(self._data, self._tokenizer, self._batch, rng)
        noise = torch.from_numpy(rng.standard_normal(clean.shape, dtype=np.float32))
        levels = noise_levels(self._batch, rng)
        part = levels[:, None, None]
        with torch.autocast("cpu", torch.bfloat16), sdpa_kernel(ATTENTION):
            predicted = self.model(torch.lerp(clean, noise, part), levels, tokens)
        loss = (predicted.float() - (noise - clean)).square().mean()
        self.model.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        update_average(self.average, self.model, min(_EMA, (1 + number) / (10 + number)))
        return {"loss": loss.detach(), "gradient": norm}


def draw_batch(
    data: LatentSet, tokenizer: PreTrainedTokenizerFast, count: int, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Packed latents ``(count, 64, 48)`` and tokens ``(count, 20)`` of their captions, some of which are left out."""
    indices = rng.integers(len(data.latents), size=count)
    dropped = rng.random(count) < _CAPTION_DROPOUT
    captions = [
        "" if drop else random_caption(rng, data.scenes[index]) for index, drop in zip(indices, dropped, strict=True)
    ]
    encoded = tokenizer(captions, padding="max_length", return_tensors="pt")
    return data.latents[indices].float(), encoded.input_ids


def noise_levels(count: int, rng: np.random.Generator) -> Tensor:
    """``(count,)`` in (0, 1): one from each of equal parts of the distribution, which makes the loss less noisy."""
    uniform = round(count * _UNIFORM_SHARE)
    even = (np.arange(uniform) + rng.random(uniform)) / max(1, uniform)
    quantiles = (np.arange(count - uniform) + rng.random(count - uniform)) / (count - uniform)
    normal = NormalDist(_LOGIT_MEAN, _LOGIT_SPREAD)
    logits = np.array([normal.inv_cdf(min(max(float(q), 1e-6), 1 - 1e-6)) for q in quantiles])
    return torch.from_numpy(np.concatenate([even, 1 / (1 + np.exp(-logits))]).astype(np.float32))


def train_diffusion(
    folder: Path,
    data: LatentSet,
    *,
    plateau_steps: int,
    decay_steps: int,
    seed: int = 0,
    compiled: bool = True,
    begin: TextToVelocity | None = None,
) -> TextToVelocity:
    """Train, or go on training, text encoders and transformer.

    The learning rate is constant in ``plateau.pt``; from wherever that stands, ``decay.pt`` brings it down to zero.
    More plateau steps can follow later: they start from ``plateau.pt``, and need a new decay.

    Args:
        folder: for both checkpoints.
        data: latents and captions.
        plateau_steps: steps at the full learning rate; a checkpoint that has more is taken as it is.
        decay_steps: steps from there to a learning rate of zero.
        seed: of weights and batches.
        compiled: use ``torch.compile``.
        begin: a trained model to start from, where there are no checkpoints yet; untrained weights if None.

    Returns:
        The moving average of the weights.

    Raises:
        EcadError: this PyTorch has no Muon.
    """
    torch.manual_seed(seed)
    diffusion = Diffusion(begin or untrained(), data, seed=seed, compiled=compiled)
    plateau, decay = folder / "plateau.pt", folder / "decay.pt"
    run_plateau(diffusion, plateau, plateau_steps)
    run_decay(diffusion, plateau, decay, decay_steps)
    return diffusion.average


def run_plateau(diffusion: Diffusion, checkpoint: Path, steps: int) -> None:
    """Train up to ``steps`` at the full learning rate."""
    _train(diffusion, "plateau", checkpoint, steps, 0)


def run_decay(diffusion: Diffusion, plateau: Path, checkpoint: Path, steps: int) -> None:
    """Train ``steps`` from a copy of the plateau's checkpoint, with a learning rate that falls to zero."""
    begun = _steps_done(plateau)
    if not checkpoint.exists() or _steps_done(checkpoint) < begun:
        partial = checkpoint.with_suffix(".partial")
        shutil.copyfile(plateau, partial)
        partial.replace(checkpoint)
    _train(diffusion, "decay", checkpoint, begun + steps, steps)


def _train(diffusion: Diffusion, label: str, checkpoint: Path, steps: int, decay: int) -> None:
    for group in (group for optimizer in diffusion.optimizers for group in optimizer.param_groups):
        group["lr"] = LEARNING_RATE  # an earlier stage may have left another
    modules = {"model": diffusion.model, "average": diffusion.average}
    train(label, checkpoint, modules, diffusion.optimizers, steps, diffusion.step, decay_share=decay / max(1, steps))


def _steps_done(checkpoint: Path) -> int:
    return int(read_tensor_file(checkpoint)["step"])


def new_optimizers(model: TextToVelocity, learning_rate: float = LEARNING_RATE) -> list[torch.optim.Optimizer]:
    """Muon for the trained matrices of the blocks, AdamW for the rest and for what modulates them, at one rate."""
    transformer = model.transformer
    blocks = [
        *model.text_encoder_2.encoder.block,
        *transformer.transformer_blocks,
        *transformer.single_transformer_blocks,
    ]
    matrices = [
        module.weight
        for block in blocks
        for name, module in block.named_modules()
        if isinstance(module, nn.Linear) and module.weight.requires_grad and not name.startswith("norm")
    ]
    return muon_and_adamw(model, matrices, learning_rate)
