"""Writes the trained parts as a pipeline folder."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, FluxPipeline
from diffusers.utils import logging

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
    _tidy(out)


def _tidy(folder: Path) -> None:
    """Make the files the same wherever and with whatever versions they were written."""
    # transformers 5 calls the class TokenizersBackend, which earlier versions do not know; the old name works in all.
    index = folder / "model_index.json"
    index.write_text(index.read_text().replace("TokenizersBackend", "PreTrainedTokenizerFast"))
    for path in (index, *folder.glob("*/*config.json")):
        config = json.loads(path.read_text())
        if config.pop("_name_or_path", None) is not None:
            path.write_text(json.dumps(config, indent=2) + "\n")
