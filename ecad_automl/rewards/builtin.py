"""The built-in rewards. What makes them is imported when one is made: most bring torch, some need an extra."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ecad_automl.errors import RewardError
from ecad_automl.rewards.protocol import PairedReward, Reward

if TYPE_CHECKING:
    import torch

Maker = Callable[[str | None, "str | torch.device | None", "torch.dtype | None"], Reward | PairedReward]
"""From the text after "=", a device and a type, each or none."""


def _shapes(name: str) -> Maker:
    def make(argument: str | None, device: object, dtype: object) -> Reward | PairedReward:
        del device, dtype
        _refuse_argument(name, argument)
        from ecad_automl.rewards.perceptual import PerceptualFidelity
        from ecad_automl.rewards.shapes import ShapesCaptionReward, ShapesMargin, ShapesReward
        from ecad_automl.shapes import WEIGHTS
        from ecad_automl.shapes.classifier import AttributeClassifier

        classifier = AttributeClassifier.load(WEIGHTS / "classifier")
        if name == "shapes-fidelity":
            return PerceptualFidelity(name, classifier.features)
        kinds: dict[str, Callable[[AttributeClassifier], Reward | PairedReward]] = {
            "shapes": ShapesReward,
            "shapes-caption": ShapesCaptionReward,
            "shapes-margin": ShapesMargin,
        }
        return kinds[name](classifier)

    return make


def _plain(module: str, kind: str, argument: str | None, device: object, dtype: object) -> Reward | PairedReward:
    """Of a class that takes no arguments."""
    del device, dtype
    made: Reward | PairedReward = getattr(import_module(module), kind)()
    _refuse_argument(made.name, argument)
    return made


def _image_reward(
    argument: str | None, device: str | torch.device | None, dtype: torch.dtype | None
) -> Reward | PairedReward:
    from ecad_automl.rewards.image_reward import ImageReward

    return _from_pretrained(ImageReward, argument, device, dtype)


def _image_reward_package(
    argument: str | None, device: str | torch.device | None, dtype: object
) -> Reward | PairedReward:
    del dtype
    from ecad_automl.rewards.image_reward.package import PackagedImageReward

    return PackagedImageReward(python=argument, device=None if device is None else str(device))


def _clip(
    kind: str, argument: str | None, device: str | torch.device | None, dtype: torch.dtype | None
) -> Reward | PairedReward:
    from ecad_automl.rewards import clip

    return _from_pretrained(getattr(clip, kind), argument, device, dtype)


def _from_pretrained(
    kind: Any, argument: str | None, device: str | torch.device | None, dtype: torch.dtype | None
) -> Reward | PairedReward:
    """From the checkpoint that was named, or the one that its class names."""
    sources = [] if argument is None else [argument]
    types = {} if dtype is None else {"dtype": dtype}
    loaded: Reward = kind.from_pretrained(*sources, device=device, **types)
    return loaded


def _pixels(kind: str, argument: str | None, device: str | torch.device | None, dtype: object) -> PairedReward:
    del dtype
    _refuse_argument(kind.lower(), argument)
    from ecad_automl.metrics import pixels

    made: PairedReward = getattr(pixels, kind)(device=device)
    return made


def _lpips(argument: str | None, device: str | torch.device | None, dtype: object) -> PairedReward:
    del dtype
    from ecad_automl.metrics.lpips import LPIPS

    return LPIPS(argument or "alex", device=device)


def _refuse_argument(name: str, argument: str | None) -> None:
    if argument is not None:
        raise RewardError(f"The reward {name!r} takes no checkpoint, but {argument!r} was named; leave it out.")


BUILTIN: Mapping[str, Maker] = {
    "shapes": _shapes("shapes"),
    "shapes-caption": _shapes("shapes-caption"),
    "shapes-fidelity": _shapes("shapes-fidelity"),
    "shapes-margin": _shapes("shapes-margin"),
    "fidelity": partial(_plain, "ecad_automl.rewards.fidelity", "FidelityReward"),
    "image-reward": _image_reward,
    "image-reward-package": _image_reward_package,
    "clip": partial(_clip, "CLIPScore"),
    "hps": partial(_clip, "HPSv2"),
    "pickscore": partial(_clip, "PickScore"),
    "psnr": partial(_pixels, "PSNR"),
    "ssim": partial(_pixels, "SSIM"),
    "lpips": _lpips,
}
"""What makes each, by name."""
