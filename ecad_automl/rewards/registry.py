"""Rewards by name."""

from __future__ import annotations

from importlib import import_module

from ecad_automl.errors import RewardError
from ecad_automl.rewards.protocol import PairedReward, Reward

__all__ = ["load_reward", "reward_names"]


def reward_names() -> tuple[str, ...]:
    """Names of the built-in rewards."""
    return ("shapes", "shapes-caption", "fidelity")


def load_reward(name: str) -> Reward | PairedReward:
    """A reward by its name, or by ``module:attribute`` for one's own.

    The attribute is called without arguments and must give an object with ``name`` and ``score`` or ``score_pairs``.

    Raises:
        RewardError: there is no such reward, or what was found is none.
    """
    if ":" in name:
        return _own(name)
    if name == "fidelity":
        from ecad_automl.rewards.fidelity import FidelityReward

        return FidelityReward()
    if name in ("shapes", "shapes-caption"):
        from ecad_automl.rewards.shapes import ShapesCaptionReward, ShapesReward
        from ecad_automl.shapes import WEIGHTS
        from ecad_automl.shapes.classifier import AttributeClassifier

        classifier = AttributeClassifier.load(WEIGHTS / "classifier")
        return ShapesReward(classifier) if name == "shapes" else ShapesCaptionReward(classifier)
    raise RewardError(
        f"There is no reward {name!r}; choose one of {', '.join(reward_names())}, or name your own as module:attribute."
    )


def _own(name: str) -> Reward | PairedReward:
    module, _, attribute = name.partition(":")
    try:
        found = getattr(import_module(module), attribute)()
    except (ImportError, AttributeError, TypeError) as error:
        raise RewardError(
            f"The reward {name!r} cannot be made ({error}); {attribute!r} in the module {module!r} must be callable "
            "without arguments."
        ) from error
    if not isinstance(found, Reward | PairedReward):
        raise RewardError(
            f"The reward {name!r} is a {type(found).__name__} without a name and score(images, prompts) or "
            "score_pairs(images, references, prompts)."
        )
    return found
