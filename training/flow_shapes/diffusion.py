"""Trains the text encoders and the transformer of the bundled FLUX model on latents of renders."""

from __future__ import annotations

import copy
import hashlib
import shutil
from pathlib import Path
from statistics import NormalDist

import numpy as np
import torch
from diffusers import AutoencoderKL, FluxTransformer2DModel
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import CLIPTextModel, PreTrainedTokenizerFast, T5EncoderModel

from ecad_automl.errors import EcadError
from ecad_automl.files.tensor_file import read_tensor_file
from ecad_automl.flow_shapes.world import Scene, random_caption, random_scene
from training.flow_shapes.architecture import (
    LATENT_SIZE,
    MAX_TOKENS,
    new_pooled_text_encoder,
    new_text_encoder,
    new_tokenizer,
    new_transformer,
)
from training.flow_shapes.render import render
from training.shapes.progress import progress_bar, train

__all__ = [
    "ATTENTION",
    "LatentSet",
    "TextToVelocity",
    "draw_batch",
    "new_optimizers",
    "noise_levels",
    "pack",
    "train_diffusion",
    "update_average",
]

_BATCH = 64
_LEARNING_RATE = 1e-3
_WEIGHT_DECAY = 0.01
_CAPTION_DROPOUT = 0.1
_EMA = 0.998
#: Plain products are as fast for so few tokens, but their compiled gradients were not finite on a processor with AMX.
ATTENTION = [SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]
_ENCODE_BATCH = 128
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


class LatentSet:
    """Scenes and their packed latents, computed once and kept in a file: ``(n, 64, 48)`` float16."""

    def __init__(self, scenes: list[Scene], latents: Tensor) -> None:
        self.scenes = scenes
        self.latents = latents

    @classmethod
    def load_or_make(cls, path: Path, autoencoder: AutoencoderKL, count: int, seed: int) -> LatentSet:
        """Read the file, or render and encode ``count`` training scenes and write it; a longer file is cut short."""
        fingerprint = _fingerprint(autoencoder)
        chunks = _stored_chunks(path, fingerprint)
        wanted = -(-count // _ENCODE_BATCH)
        scenes: list[Scene] = []
        with progress_bar("latents") as bar, torch.no_grad():
            task = bar.add_task("", total=wanted, figures="")
            for index in range(wanted):
                rng = np.random.default_rng([seed, 3, index])
                batch = [random_scene(rng, "train") for _ in range(_ENCODE_BATCH)]
                scenes += batch
                if index >= len(chunks):
                    pictures = torch.from_numpy(render(batch, rng)) * 2 - 1
                    with torch.autocast("cpu", torch.bfloat16):
                        latents = autoencoder.encode(pictures).latent_dist.mean
                    chunks.append(pack(latents.float() * autoencoder.config.scaling_factor).half())
                    if index % 100 == 99 or index == wanted - 1:
                        path.parent.mkdir(parents=True, exist_ok=True)
                        partial = path.with_suffix(".partial")
                        torch.save({"autoencoder": fingerprint, "latents": torch.cat(chunks)}, partial)
                        partial.replace(path)
                bar.update(task, completed=index + 1)
        return cls(scenes, torch.cat(chunks[:wanted]))


def _fingerprint(autoencoder: AutoencoderKL) -> str:
    """Of the half that makes latents; another decoder reads the same ones."""
    assert autoencoder.quant_conv is not None
    digest = hashlib.blake2b(str(autoencoder.config.scaling_factor).encode(), digest_size=8)
    for part in (autoencoder.encoder, autoencoder.quant_conv):
        for value in part.state_dict().values():
            digest.update(np.ascontiguousarray(value.cpu()).tobytes())
    return digest.hexdigest()


def _stored_chunks(path: Path, fingerprint: str) -> list[Tensor]:
    """Latents that this very autoencoder made earlier."""
    if not path.exists():
        return []
    stored = read_tensor_file(path)
    if not isinstance(stored, dict) or stored.get("autoencoder") != fingerprint:
        return []
    return list(torch.split(stored["latents"], _ENCODE_BATCH))


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
        group["lr"] = _LEARNING_RATE  # an earlier stage may have left another
    modules = {"model": diffusion.model, "average": diffusion.average}
    train(label, checkpoint, modules, diffusion.optimizers, steps, diffusion.step, decay_share=decay / max(1, steps))


def _steps_done(checkpoint: Path) -> int:
    return int(read_tensor_file(checkpoint)["step"])


def new_optimizers(model: TextToVelocity, learning_rate: float = _LEARNING_RATE) -> list[torch.optim.Optimizer]:
    """Muon for the trained matrices of the blocks, AdamW for the rest and for what modulates them, at one rate."""
    if not hasattr(torch.optim, "Muon"):
        raise EcadError(
            f"Training needs torch.optim.Muon, which PyTorch {torch.__version__} lacks; install 2.9 or newer."
        )
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
    inside = {id(weight) for weight in matrices}
    rest = [parameter for parameter in model.parameters() if parameter.requires_grad and id(parameter) not in inside]
    muon = torch.optim.Muon(matrices, lr=learning_rate, weight_decay=_WEIGHT_DECAY, adjust_lr_fn="match_rms_adamw")
    return [muon, torch.optim.AdamW(rest, lr=learning_rate, weight_decay=_WEIGHT_DECAY, betas=(0.9, 0.98))]


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Move the average towards the model's weights, in place."""
    targets, sources = ([p.detach() for p in module.parameters()] for module in (average, model))
    torch._foreach_lerp_(targets, sources, 1 - decay)
