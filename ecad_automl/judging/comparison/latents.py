"""The latents that a pipeline decodes, and how far they are from those of the uncached run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from torch import Tensor

from ecad_automl.errors import EvaluationError
from ecad_automl.patching import replaced
from ecad_automl.rewards.protocol import Floats


@contextmanager
def captured_latents(pipe: Any) -> Iterator[list[Tensor]]:
    """For a while, collect what the pipeline gives its VAE to decode.

    Args:
        pipe: a diffusers pipeline.

    Yields:
        A list that gets a tensor ``(n, channels, ...)`` for each call, in the scale of the VAE, on the CPU.

    Raises:
        EvaluationError: the pipeline has no VAE.
    """
    vae = getattr(pipe, "vae", None)
    if vae is None:
        raise EvaluationError(
            f"{type(pipe).__name__} has no VAE, so there are no latents to compare; leave the metric "
            "latent-distance out."
        )
    seen: list[Tensor] = []
    decode = vae.decode

    def noted(latents: Tensor, *args: Any, **kwargs: Any) -> Any:
        seen.append(latents.detach().float().cpu())
        return decode(latents, *args, **kwargs)

    with replaced("decode", (vae, noted)):
        yield seen


def latent_distance(latents: Tensor, references: Tensor) -> Floats:
    """Root mean squared difference of each image's latents from its reference's, over the root mean square of these.

    Args:
        latents: ``(n, ...)``.
        references: of the same shape.

    Returns:
        ``(n,)``: 0 for equal latents.
    """
    difference = (latents.double() - references.double()).square().flatten(1).mean(dim=1)
    size = references.double().square().flatten(1).mean(dim=1)
    return np.asarray((difference / size.clamp_min(1e-12)).sqrt())
