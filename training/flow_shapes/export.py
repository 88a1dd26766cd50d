"""Writes the trained parts as a pipeline folder."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKL, FluxPipeline
from diffusers.utils import logging

from training.common.tidy import tidy
from training.flow_shapes.architecture import new_scheduler, new_tokenizer
from training.flow_shapes.diffusion import TextToVelocity

__all__ = ["export"]


def export(model: TextToVelocity, autoencoder: AutoencoderKL, out: Path) -> None:
    """Write a folder for ``FluxPipeline.from_pretrained``; the transformer's weights are rounded to float16.

    Args:
        model: trained; its transformer is changed to float16 in place.
        autoencoder: trained.
        out: folder.
    """
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    pipe = FluxPipeline(
        scheduler=new_scheduler(),
        vae=autoencoder,
        text_encoder=model.text_encoder,
        tokenizer=new_tokenizer(),
        text_encoder_2=model.text_encoder_2,
        tokenizer_2=new_tokenizer(),
        transformer=model.transformer.to(torch.float16),
    )
    pipe.save_pretrained(out, safe_serialization=True)
    logging.set_verbosity(level)
    tidy(out)
