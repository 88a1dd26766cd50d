"""Schedules by rule for well-known models at their usual numbers of steps: a start in a minute, not measured.

They are made when they are asked for, on the slots of the pipeline that they are for. FORA (arXiv 2407.01425) computes
every n-th step and reuses all slots in between; a whole-step plan keeps the first steps and the last, where reuse costs
most, computes every n-th step between them, and leaves the transformer out elsewhere, so that other engines can run it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ecad_automl.errors import OptionError, ScheduleError
from ecad_automl.schedules.heuristics import fora
from ecad_automl.schedules.layout import Layout, Slot
from ecad_automl.schedules.schedule import Bits, Schedule
from ecad_automl.schedules.whole_steps import whole_steps_of

#: What names of these begin with.
BUILTIN = "builtin:"
#: Share of the steps, and how many at least, that a whole-step plan computes first.
_FIRST, _FEWEST = 0.1, 2


@dataclass(frozen=True)
class _Model:
    """A model that there are plans for: what people call it, its repository, its transformer and its usual steps."""

    name: str
    model: str
    transformer: str
    steps: int


_MODELS = (
    _Model("pixart-alpha", "PixArt-alpha/PixArt-XL-2-1024-MS", "PixArtTransformer2DModel", 20),
    _Model("pixart-sigma", "PixArt-alpha/PixArt-Sigma-XL-2-1024-MS", "PixArtTransformer2DModel", 20),
    _Model("flux-dev", "black-forest-labs/FLUX.1-dev", "FluxTransformer2DModel", 28),
    _Model("sd3.5-large", "stabilityai/stable-diffusion-3.5-large", "SD3Transformer2DModel", 28),
    _Model("sd3.5-medium", "stabilityai/stable-diffusion-3.5-medium", "SD3Transformer2DModel", 40),
    _Model("qwen-image", "Qwen/Qwen-Image", "QwenImageTransformer2DModel", 50),
    _Model("wan2.1", "Wan-AI/Wan2.1-T2V-14B-Diffusers", "WanTransformer3DModel", 50),
)
_PERIODS = (2, 3, 4)


@dataclass(frozen=True)
class Plan:
    """A schedule by rule, for any number of steps.

    Args:
        name: of it, such as ``flux-dev/fora-3``.
        model: repository of the model that it is meant for.
        transformer: class name of its transformer.
        steps: its usual number of steps, or the one that was asked for.
        period: every how many steps one is computed.
        whole: whether steps are skipped as a whole; else all slots are reused, as FORA does.
    """

    name: str
    model: str
    transformer: str
    steps: int
    period: int
    whole: bool

    @property
    def rule(self) -> str:
        """What it does, in words."""
        if not self.whole:
            return f"FORA: every {_ordinal(self.period)} step is computed, all parts are reused in between"
        return (
            f"the first {_first(self.steps)} steps, the last and every {_ordinal(self.period)} between them; the "
            "others are skipped"
        )

    @property
    def mask(self) -> Bits:
        """``(steps,)``: where all is computed."""
        step = np.arange(self.steps)
        if not self.whole:
            return np.equal(step % self.period, 0)
        first = _first(self.steps)
        mask: Bits = (step < first) | (step == self.steps - 1) | ((step - first + 1) % self.period == 0)
        return mask

    def schedule(self, layout: Layout) -> Schedule:
        """It, on the slots of a transformer.

        Raises:
            ScheduleError: the transformer is of another class.
        """
        if layout.transformer != self.transformer:
            raise ScheduleError(
                f"{BUILTIN}{self.name} is for {self.transformer} ({self.model}), but this pipeline has a "
                f"{layout.transformer}; see `ecad-automl gallery`, or make one of your own with `ecad-automl quick`."
            )
        if not self.whole:
            return fora(layout, self.steps, self.period)
        return Schedule(layout, np.ones((self.steps, len(layout)), dtype=np.bool_), ~self.mask)

    def outline(self) -> Schedule:
        """Its steps alone, on a transformer of two blocks: for drawings and for what takes no more than a mask."""
        return self.schedule(Layout(self.transformer, tuple(Slot(f"blocks.{block}", "all") for block in range(2))))

    @property
    def mac_speedup(self) -> float:
        """How many times fewer MACs within the blocks than without it."""
        mask = whole_steps_of(self.outline())
        assert mask is not None
        return self.steps / int(mask.sum())


def plans() -> tuple[Plan, ...]:
    """All of them, at their usual numbers of steps."""
    return tuple(
        Plan(f"{of.name}/{kind}-{period}", of.model, of.transformer, of.steps, period, kind == "whole")
        for of in _MODELS
        for kind in ("fora", "whole")
        for period in _PERIODS
    )


def is_builtin(name: object) -> bool:
    """Whether a name is of one of these."""
    return isinstance(name, str) and name.startswith(BUILTIN)


def builtin_plan(name: str) -> Plan:
    """The plan of a name, such as ``builtin:flux-dev/fora-3``, or ``builtin:flux-dev/fora-3@50`` for 50 steps.

    Raises:
        OptionError: there is none, or the number of steps is none.
    """
    text, at, count = name.removeprefix(BUILTIN).partition("@")
    found = {plan.name: plan for plan in plans()}
    if text not in found:
        model = text.partition("/")[0]
        near = [other for other in found if other.startswith(f"{model}/")]
        known = near or sorted({other.partition("/")[0] for other in found})
        raise OptionError(
            f"There is no schedule {BUILTIN}{text}; there {'are' if near else 'are those of'} {', '.join(known)}, "
            "which `ecad-automl gallery` lists."
        )
    plan = found[text]
    if not at:
        return plan
    if not count.isdecimal() or int(count) < 2:
        raise OptionError(
            f"{name!r} asks for {count!r} steps; write a whole number from 2, such as {BUILTIN}{text}@30."
        )
    return replace(plan, steps=int(count))


def _first(steps: int) -> int:
    return min(max(_FEWEST, round(_FIRST * steps)), steps)


def _ordinal(number: int) -> str:
    return {2: "second", 3: "third"}.get(number, f"{number}th")
