"""Rewards by name. Imports no torch: a built-in's module, which may need an extra, is imported when one is made."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ecad_automl.errors import RewardError
from ecad_automl.rewards.protocol import PairedReward, Reward
from ecad_automl.rewards.weighted import Term, parse_sum, weigh

if TYPE_CHECKING:
    import torch

ENTRY_POINTS = "ecad_automl.rewards"
"""The group of entry points by which installed packages bring rewards."""

_DTYPES = ("float32", "float16", "bfloat16")
Maker = Callable[[str | None, "str | torch.device | None", "torch.dtype | None"], Reward | PairedReward]
"""From the text after "=", a device and a type, each or none."""


def reward_names() -> tuple[str, ...]:
    """Names of the built-in rewards, then those that installed packages bring."""
    brought = sorted({entry.name for entry in entry_points(group=ENTRY_POINTS)} - set(BUILTIN))
    return (*BUILTIN, *brought)


def load_reward(
    name: str, *, device: str | torch.device | None = None, dtype: str | torch.dtype | None = None
) -> Reward | PairedReward:
    """A reward by its name, or a weighted sum of several.

    - A built-in name, see :func:`reward_names`. Those with a model take a checkpoint after "=", a folder or hub id:
      ``clip=openai/clip-vit-base-patch32``. ``lpips=vgg`` names a net, ``image-reward-package=PYTHON`` an interpreter.
    - ``module:attribute`` for one's own: called without arguments, or with the text after "=" if there is any. The same
      holds for the entry points of the group ``ecad_automl.rewards`` of installed packages. Built-in names stay what
      they are: an entry point of such a name is not used.
    - ``0.8*image-reward+0.2*clip=...``: a weighted sum, of which more is better: distances, as of LPIPS, count
      negatively, in sums and as ``-lpips``. "+" separates terms, so no path may hold one.

    A distance by its bare name is what it is, for tables and bounds: less is better, as its ``higher_is_better`` says.
    What maximizes makes it a reward by :func:`~ecad_automl.rewards.weighted.maximized`.

    Args:
        name: see above.
        device: torch device of models; the default is CUDA where there is one.
        dtype: of models that can be had in several, "float32", "float16" or "bfloat16"; the default is float32.

    Raises:
        RewardError: there is no such reward, what was found is none, or it cannot be loaded.
    """
    terms = parse_sum(name)
    loaded = [(term, _load(term.name, device, dtype)) for term in terms]
    if len(terms) == 1 and terms[0] == Term(terms[0].name):
        return loaded[0][1]
    return weigh(loaded)


def check_reward(name: str) -> None:
    """Whether a reward can be loaded, as far as its name tells; nothing is loaded.

    Raises:
        RewardError: see :func:`load_reward`.
    """
    for term in parse_sum(name):
        found, _ = _by_name(term.name)
        if isinstance(found, EntryPoint):
            _check_module(term.name, found.value.partition(":")[0])


def _check_module(name: str, module: str) -> None:
    try:
        there = find_spec(module) is not None
    except (ImportError, ValueError):
        there = False
    if not there:
        raise RewardError(
            f"The reward {name!r} cannot be made, for Python finds no module {module!r}; give one that can be imported "
            "from here."
        )


def _load(name: str, device: str | torch.device | None, dtype: str | torch.dtype | None) -> Reward | PairedReward:
    """A single reward."""
    found, argument = _by_name(name)
    if isinstance(found, EntryPoint):
        return _made(name, found, argument)
    _warn_of_shadows(name.partition("=")[0])
    return found(argument, device, _torch_dtype(dtype))


def _by_name(name: str) -> tuple[Maker | EntryPoint, str | None]:
    """What makes a single reward, and the text after the equals sign, if any."""
    head, sep, text = name.partition("=")
    argument = text if sep else None
    if sep and not text:
        raise RewardError(
            f"Nothing stands after the = of the reward {name!r}; name a checkpoint or leave out the sign."
        )
    if head == "fid":
        raise RewardError(
            "'fid' compares two sets of images and gives no score per image, so it cannot be a reward; name it among "
            "the metrics of an evaluation."
        )
    if head in BUILTIN:
        return BUILTIN[head], argument
    entry = EntryPoint(head, head, ENTRY_POINTS) if ":" in head else _entry_point(head)
    if entry is not None:
        return entry, argument
    raise RewardError(
        f"There is no reward {head!r}; choose one of {', '.join(reward_names())}, or name your own as "
        "module:attribute. A + separates the terms of a sum, so a path cannot hold one."
    )


def _torch_dtype(dtype: str | torch.dtype | None) -> torch.dtype | None:
    if not isinstance(dtype, str):
        return dtype
    if dtype not in _DTYPES:
        raise RewardError(f"The dtype {dtype!r} is unknown; choose one of {', '.join(_DTYPES)}.")
    import torch

    found: torch.dtype = getattr(torch, dtype)
    return found


def _entry_point(name: str) -> EntryPoint | None:
    found = list(entry_points(group=ENTRY_POINTS, name=name))
    if len(found) > 1:
        raise RewardError(
            f"The reward {name!r} is brought by {len(found)} installed packages ({', '.join(_owners(found))}); "
            f"name it as module:attribute ({' or '.join(entry.value for entry in found)})."
        )
    return found[0] if found else None


def _warn_of_shadows(name: str) -> None:
    found = list(entry_points(group=ENTRY_POINTS, name=name))
    if found:
        warnings.warn(
            f"The reward {name!r} is built in, so that of {', '.join(_owners(found))} is not used; name it as "
            f"module:attribute ({found[0].value}).",
            stacklevel=4,
        )


def _owners(entries: list[EntryPoint]) -> list[str]:
    return sorted(entry.dist.name if entry.dist else entry.value for entry in entries)


def _made(name: str, entry: EntryPoint, argument: str | None) -> Reward | PairedReward:
    """What the callable gives."""
    try:
        make = entry.load()
        found = make() if argument is None else make(argument)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        how = "without arguments" if argument is None else "with the text after the ="
        raise RewardError(
            f"The reward {name!r} cannot be made ({error}); it must name something that can be imported and called "
            f"{how}."
        ) from error
    if not isinstance(found, Reward | PairedReward):
        raise RewardError(
            f"The reward {name!r} is a {type(found).__name__} without a name and score(images, prompts) or "
            "score_pairs(images, references, prompts)."
        )
    return found


def _plain(path: str) -> Maker:
    """Of a class that takes no arguments."""
    return lambda argument, _device, _dtype: _without(argument, _found(path)())


def _bundled(package: str, kind: str) -> Maker:
    """Of a class that takes the classifier of a bundled model."""

    def make(argument: str | None, _device: object, _dtype: object) -> Reward | PairedReward:
        folder = _found(f"{package}:WEIGHTS") / "classifier"
        classifier = _found(f"{package}.classifier:AttributeClassifier").load(folder)
        return _without(argument, _found(f"rewards.shapes:{kind}")(classifier))

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
    "shapes": _bundled("shapes", "ShapesReward"),
    "shapes-caption": _bundled("shapes", "ShapesCaptionReward"),
    "shapes-fidelity": _bundled("shapes", "ShapesFidelity"),
    "shapes-margin": _bundled("shapes", "ShapesMargin"),
    "flow-shapes-caption": _bundled("flow_shapes", "ShapesCaptionReward"),
    "flow-shapes-fidelity": _bundled("flow_shapes", "ShapesFidelity"),
    "flow-shapes-margin": _bundled("flow_shapes", "ShapesMargin"),
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
