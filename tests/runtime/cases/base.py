"""A pipeline and one way to call it, as the tests of the runtime take it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch

from ecad_automl.runtime import layout_of, layout_of_call
from ecad_automl.runtime.families import OneBatch, family_of
from ecad_automl.schedules.guidance import BOTH, KEEP, NONE
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule

__all__ = ["TOKENS", "Case", "embedded_inputs"]

TOKENS = 6


@dataclass
class Case:
    """A pipeline and one way to call it."""

    pipe: Any
    call: dict[str, Any]
    inputs: Callable[[int], dict[str, Any]]  # what a number of images is asked for by
    calls_per_step: int  # of the transformer
    branches: int  # guidance branches per image
    size: int = 16
    shared: Callable[[], Layout] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.pipe.set_progress_bar_config(disable=True)

    @cached_property
    def layout(self) -> Layout:
        """The layout of what ``generate`` makes."""
        return self.counted() if self.shared is None else self.shared()

    def counted(self) -> Layout:
        """The layout, counted anew: that takes longer than most tests."""
        if family_of(self.pipe.transformer).inputs is None:
            return layout_of_call(self.pipe, **self.arguments(1))
        return layout_of(
            self.pipe, height=self.size, width=2 * self.size, guidance=False, text_tokens=TOKENS, branches=self.branches
        )

    def arguments(self, images: int) -> dict[str, Any]:
        """Arguments of the pipeline."""
        size = {"height": self.size, "width": 2 * self.size}
        return {**self.inputs(images), **size, "output_type": "latent", **self.call}

    def generate(self, *, steps: int = 4, images: int = 1, seed: int = 0, **changes: object) -> torch.Tensor:
        """Latents of a run."""
        generator = torch.Generator().manual_seed(seed)
        arguments = {**self.arguments(images), "num_inference_steps": steps, "generator": generator, **changes}
        output = self.pipe(**arguments)
        latents: torch.Tensor = next(iter(output.values()))  # images or frames
        return latents

    def random_schedule(self, seed: int, steps: int = 4, share: float = 0.4) -> Schedule:
        bits = np.random.default_rng(seed).random((steps, len(self.layout))) < share
        return Schedule(self.layout, bits)

    def random_forecasts(self, seed: int, steps: int = 6, share: float = 0.4) -> Schedule:
        """A schedule that skips the third step, and another, and forecasts half of what it can."""
        rng = np.random.default_rng(seed)
        bits = rng.random((steps, len(self.layout))) < share
        bits[1] |= rng.random(len(self.layout)) < 0.7  # two outputs early on
        skip = np.isin(np.arange(steps), [2, rng.integers(3, steps)])
        damping = rng.integers(0, 2, (steps, len(self.layout.components) + 1)) * rng.integers(1, 4)
        weights = np.tile([1.4, -0.4], (steps, len(self.layout) + 1, 1)) + 0.03 * np.arange(steps)[:, None, None]
        return Schedule(self.layout, bits, skip, damping, weights)

    def random_guidance(self, seed: int, steps: int = 7, share: float = 0.5, *, forecasts: bool = True) -> Schedule:
        """A schedule that does everything about guidance there is, beside what others do.

        Guidance begins at the second step, if the seed is odd.
        """
        rng = np.random.default_rng(seed)
        plain = self.random_schedule(seed, steps, share) if not forecasts else self.random_forecasts(seed, steps, share)
        actions = rng.permutation(np.resize([BOTH, KEEP, KEEP + 2, NONE], steps))
        actions[:4] = [BOTH, BOTH, NONE, KEEP + 3] if seed % 2 == 0 else [NONE, BOTH, BOTH, KEEP + 3]
        actions[-1] = BOTH
        skip = plain.skip & (np.arange(steps) > 3)
        guidance_weights = np.tile([1.5, -0.6], (steps, 1))
        weights = plain.weights if not forecasts else np.tile([1.4, -0.4], (steps, len(self.layout) + 1, 1))
        return Schedule(self.layout, plain.compute, skip, plain.damping, weights, actions, guidance_weights)

    @property
    def one_batch(self) -> OneBatch | None:
        """How both guidance branches lie in a batch."""
        return family_of(self.pipe.transformer).one_batch


def embedded_inputs(images: int, prefix: str = "", tokens: int = TOKENS) -> dict[str, Any]:
    """Random embeddings of FLUX and Stable Diffusion 3."""
    generator = torch.Generator().manual_seed(len(prefix))
    return {
        f"{prefix}prompt_embeds": torch.randn(images, tokens, 12, generator=generator),
        f"{prefix}pooled_prompt_embeds": torch.randn(images, 10, generator=generator),
    }
