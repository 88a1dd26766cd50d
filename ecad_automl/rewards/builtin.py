"""What makes each built-in reward. Modules are imported when one is made: most bring torch, some need an extra."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ecad_automl.errors import RewardError
from ecad_automl.rewards.protocol import PairedReward, Reward

if TYPE_CHECKING:
    import torch

Maker = Callable[[str | None, "str | torch.device | None", "torch.dtype | None"], Reward | PairedReward]
"""From the text after "=", a device and a type, each or none."""


def _plain(path: str) -> Maker:
    """Of a class that takes no arguments."""
    return lambda argument, _device, _dtype: _without(argument, _found(path)())


def _shapes(path: str) -> Maker:
    """Of a class that takes the classifier of the bundled model."""

    def make(argument: str | None, _device: object, _dtype: object) -> Reward | PairedReward:
        from ecad_automl.shapes import WEIGHTS
        from ecad_automl.shapes.classifier import AttributeClassifier

        return _without(argument, _found(path)(AttributeClassifier.load(WEIGHTS / "classifier")))

    return make


def _pixels(path: str) -> Maker:
    """Of a class that takes a device alone."""
    return lambda argument, device, _dtype: _without(argument, _found(path)(device=device))


def _checkpoint(path: str) -> Maker:
    """Of a class with a checkpoint: the one that was named, or that its class names."""

    def make(argument: str | None, device: object, dtype: object) -> Reward | PairedReward:
        sources = [] if argument is None else [argument]
        types = {} if dtype is None else {"dtype": dtype}
        made: Reward = _found(path).from_pretrained(*sources, device=device, **types)
        return made

    return make


def _image_reward_package(argument: str | None, device: object, _dtype: object) -> Reward | PairedReward:
    from ecad_automl.rewards.image_reward import PackagedImageReward

    return PackagedImageReward(python=argument, device=None if device is None else str(device))


def _found(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(import_module(f"ecad_automl.{module}"), name)


def _without(argument: str | None, made: Reward | PairedReward) -> Reward | PairedReward:
    if argument is not None:
        raise RewardError(f"The reward {made.name!r} takes no checkpoint, but {argument!r} was named; leave it out.")
    return made


BUILTIN: Mapping[str, Maker] = {
    "shapes": _shapes("rewards.shapes:ShapesReward"),
    "shapes-caption": _shapes("rewards.shapes:ShapesCaptionReward"),
    "shapes-fidelity": _shapes("rewards.shapes:ShapesFidelity"),
    "shapes-margin": _shapes("rewards.shapes:ShapesMargin"),
    "fidelity": _plain("rewards.fidelity:FidelityReward"),
    "image-reward": _checkpoint("rewards.image_reward:ImageReward"),
    "image-reward-package": _image_reward_package,
    "clip": _checkpoint("rewards.clip:CLIPScore"),
    "hps": _checkpoint("rewards.clip:HPSv2"),
    "pickscore": _checkpoint("rewards.clip:PickScore"),
    "psnr": _pixels("metrics:PSNR"),
    "ssim": _pixels("metrics:SSIM"),
    "lpips": lambda net, device, _dtype: _found("metrics:LPIPS")(net or "alex", device=device),
}
"""What makes each, by name."""
