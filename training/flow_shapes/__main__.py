"""``python -m training.flow_shapes``: trains the bundled FLUX model, or goes on where it was interrupted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import torch
import typer
from diffusers import FluxPipeline

from ecad_automl.flow_shapes import WEIGHTS
from ecad_automl.flow_shapes.classifier import AttributeClassifier
from ecad_automl.flow_shapes.world import prompts
from training.flow_shapes.autoencoder import half_whiten, refine_decoder, train_autoencoder
from training.flow_shapes.classifier import held_out_accuracy, train_classifier
from training.flow_shapes.diffusion import LatentSet, TextToVelocity, train_diffusion
from training.flow_shapes.export import export
from training.flow_shapes.guidance import distil_guidance, without_guidance_embedding
from training.flow_shapes.quality import draw, grid, measure_autoencoder, measure_convergence, measure_quality


def main(
    work: Annotated[Path, typer.Option(help="Folder for checkpoints; a later run with the same folder goes on.")] = (
        Path("runs/flow-shapes")
    ),
    out: Annotated[Path, typer.Option(help="Folder for the finished pipeline.")] = WEIGHTS,
    init: Annotated[
        Path | None,
        typer.Option(help="A finished pipeline to start from; its autoencoder and classifier are kept as they are."),
    ] = None,
    autoencoder_steps: int = 2000,
    decoder_steps: int = 400,
    classifier_steps: int = 1500,
    plateau_steps: Annotated[int, typer.Option(help="Steps of the transformer at the full learning rate.")] = 6000,
    decay_steps: Annotated[int, typer.Option(help="Steps of the transformer while the learning rate falls.")] = 2000,
    guidance_steps: Annotated[int, typer.Option(help="Steps of the transformer that learn guidance.")] = 800,
    pictures: Annotated[int, typer.Option(help="Training pictures whose latents are computed once.")] = 40_000,
    seed: int = 0,
    compiled: Annotated[bool, typer.Option(help="Compile the transformer's training step.")] = True,
    threads: Annotated[int | None, typer.Option(help="Threads of PyTorch.")] = None,
) -> None:
    """Train autoencoder, classifier, text encoders and transformer, its guidance; write and measure the pipeline.

    The plateau may be made longer later, with the same folder: its checkpoint is kept beside that of the decay.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    if init is None:
        begin = None
        autoencoder = train_autoencoder(work, steps=autoencoder_steps, seed=seed)
        half_whiten(autoencoder, seed=seed)
        refine_decoder(work, autoencoder, steps=decoder_steps, seed=seed)
        classifier = train_classifier(work, steps=classifier_steps, seed=seed)
    else:
        finished = FluxPipeline.from_pretrained(init, dtype=torch.float32)
        begin = TextToVelocity(
            finished.text_encoder, finished.text_encoder_2, without_guidance_embedding(finished.transformer)
        )
        autoencoder = finished.vae.eval().requires_grad_(False)
        classifier = AttributeClassifier.load(init / "classifier")
    data = LatentSet.load_or_make(work / "latents.pt", autoencoder, pictures, seed)
    model = train_diffusion(
        work, data, plateau_steps=plateau_steps, decay_steps=decay_steps, seed=seed, compiled=compiled, begin=begin
    )
    model = distil_guidance(work, model, data, steps=guidance_steps, seed=seed, compiled=compiled)
    export(model, autoencoder, out)
    classifier.save(out / "classifier")
    # What is measured is what was stored.
    pipe = FluxPipeline.from_pretrained(out, dtype=torch.float32)
    quality = {
        "classifier on held-out renders": held_out_accuracy(classifier),
        "autoencoder on held-out renders": measure_autoencoder(pipe.vae, classifier),
        "held-out captions": measure_quality(pipe, classifier),
        "held-out captions without guidance": measure_quality(pipe, classifier, guidance=1.0),
        "held-out captions guided in two calls": measure_quality(pipe, classifier, in_two_calls=True),
        "convergence": measure_convergence(pipe),
    }
    rounded = {part: {name: round(value, 4) for name, value in values.items()} for part, values in quality.items()}
    (out / "quality.json").write_text(json.dumps(rounded, indent=2) + "\n")
    captions = prompts("held-out", 16)
    grid(draw(pipe, captions), captions, out / "pictures.png")
    typer.echo(json.dumps(rounded, indent=2))


if __name__ == "__main__":
    typer.run(main)
