"""Trains the bundled text encoder and transformer on latents of renders."""

from __future__ import annotations

import copy
import hashlib
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, PixArtTransformer2DModel
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast, T5EncoderModel

from ecad_automl.errors import EcadError
from ecad_automl.files.tensor_file import read_tensor_file
from ecad_automl.shapes.world import Scene, random_caption, random_scene
from training.shapes.architecture import new_scheduler, new_text_encoder, new_tokenizer, new_transformer
from training.shapes.progress import progress_bar, train
from training.shapes.render import render

_BATCH = 64
_LEARNING_RATE = 1e-3
_WEIGHT_DECAY = 0.01
_CAPTION_DROPOUT = 0.1
_DECAY_SHARE = 0.35
_EMA = 0.998
_ENCODE_BATCH = 128


class LatentSet:
    """Scenes and their latents, computed once and kept in a file: ``(n, 8, 16, 16)`` float16."""

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
                    latents = autoencoder.encode(pictures).latent_dist.mean * autoencoder.config.scaling_factor
                    chunks.append(latents.half())
                if index % 100 == 99 or index == wanted - 1:
                    torch.save({"autoencoder": fingerprint, "latents": torch.cat(chunks)}, path)
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
        _update_average(average, model, min(_EMA, (1 + number) / (10 + number)))
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
    if not hasattr(torch.optim, "Muon"):
        raise EcadError(
            f"Training needs torch.optim.Muon, which PyTorch {torch.__version__} lacks; install 2.9 or newer."
        )
    blocks = [*model.text_encoder.encoder.block, *model.transformer.transformer_blocks]
    matrices = [module.weight for block in blocks for module in block.modules() if isinstance(module, nn.Linear)]
    inside = {id(weight) for weight in matrices}
    rest = [parameter for parameter in model.parameters() if id(parameter) not in inside]
    muon = torch.optim.Muon(matrices, lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY, adjust_lr_fn="match_rms_adamw")
    return [muon, torch.optim.AdamW(rest, lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY, betas=(0.9, 0.98))]


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


@torch.no_grad()
def _update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    targets, sources = ([p.detach() for p in module.parameters()] for module in (average, model))
    torch._foreach_lerp_(targets, sources, 1 - decay)
