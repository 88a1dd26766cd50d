"""``python -m training.shapes``: trains the bundled model, from nothing or from finished weights on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from diffusers import AutoencoderKL, PixArtAlphaPipeline

from ecad_automl.shapes import WEIGHTS
from ecad_automl.shapes.classifier import AttributeClassifier
from training.common.tidy import tidy
from training.shapes.architecture import new_scheduler
from training.shapes.autoencoder import half_whiten, refine_decoder, train_autoencoder
from training.shapes.classifier import held_out_accuracy, train_classifier
from training.shapes.diffusion import train_diffusion
from training.shapes.quality import measure_autoencoder, measure_quality


def main(
    work: Annotated[Path, typer.Option(help="Folder for checkpoints; a later run with the same folder goes on.")] = (
        Path("runs/shapes")
    ),
    out: Annotated[Path, typer.Option(help="Folder for the finished pipeline.")] = WEIGHTS,
    init: Annotated[
        Path | None,
        typer.Option(help="A finished pipeline to start from; its autoencoder and classifier are kept as they are."),
    ] = None,
    autoencoder_steps: int = 1600,
    decoder_steps: int = 1000,
    classifier_steps: int = 1200,
    diffusion_steps: int = 5600,
    pictures: Annotated[int, typer.Option(help="Training pictures whose latents are computed once.")] = 32_000,
    seed: int = 0,
) -> None:
    """Train autoencoder, classifier, and text encoder with transformer, in this order; write the pipeline."""
    if init is None:
        autoencoder = train_autoencoder(work, steps=autoencoder_steps, seed=seed)
        half_whiten(autoencoder, seed=seed)
        refine_decoder(work, autoencoder, steps=decoder_steps, seed=seed)
        classifier = train_classifier(work, steps=classifier_steps, seed=seed)
    else:
        autoencoder = AutoencoderKL.from_pretrained(init, subfolder="vae").eval().requires_grad_(False)
        classifier = AttributeClassifier.load(init / "classifier")
    classifier.save(out / "classifier")
    tokenizer, model = train_diffusion(
        work, autoencoder, steps=diffusion_steps, pictures=pictures, seed=seed, init=init
    )
    pipe = PixArtAlphaPipeline(
        tokenizer=tokenizer,
        text_encoder=model.text_encoder,
        vae=autoencoder,
        transformer=model.transformer,
        scheduler=new_scheduler(),
    )
    pipe.save_pretrained(out, safe_serialization=True)
    tidy(out)
    quality = {"classifier accuracy on held-out renders": held_out_accuracy(classifier)["all"]}
    quality["autoencoder on held-out renders"] = measure_autoencoder(out)
    quality |= measure_quality(out)
    quality = {name: round(share, 4) for name, share in quality.items()}
    (out / "quality.json").write_text(json.dumps(quality, indent=2) + "\n")
    typer.echo(json.dumps(quality, indent=2))


if __name__ == "__main__":
    typer.run(main)
