"""The state of a transformer, as far as it can be told: equal states give equal outputs, bit for bit."""

from __future__ import annotations

import weakref
from contextlib import suppress
from typing import Any

import torch
from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from ecad_automl.runtime.hooks import has_only_ours

# Hooks are looked at by why_not_repeatable; there are many lists of them.
_LEFT_OUT = frozenset(("forward", "_diffusers_hook", *vars(nn.Module()))) - {
    "training",
    "_parameters",
    "_buffers",
    "_modules",
}

_CONSTANTS = (bool, int, float, complex, str, bytes, torch.dtype, torch.device, torch.Size)

# Attention processors, configs and the like are looked into, but not what they in turn refer to.
_DEPTH = 2


class ModuleState:
    """The modules of a transformer with their attributes, as far as their values can be told.

    Tensors count by where they lie, so weights may be changed in place; anything that is neither a container, a
    constant nor a tensor counts by what it is and by its own attributes.

    Args:
        root: the transformer. Neither it nor its tensors are held.
    """

    def __init__(self, root: nn.Module) -> None:
        self._seen: list[weakref.ref[Any]] = []  # an id may come back once its object is gone
        self._values = tuple(
            [(id(module), self._of_dict(vars(module), _DEPTH, _LEFT_OUT)) for module in root.modules()]
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ModuleState) and self._values == other._values and other._is_alive()

    __hash__ = None  # type: ignore[assignment]

    def _is_alive(self) -> bool:
        return all(reference() is not None for reference in self._seen)

    def _of_dict(self, values: dict[Any, Any], depth: int, without: frozenset[str] = frozenset()) -> tuple[object, ...]:
        return tuple(
            [
                # Keys of other types may be equal and not the same: 1, 1.0 and True.
                (key if type(key) is str else repr(key), self._of(value, depth))
                for key, value in values.items()
                if key not in without
            ]
        )

    def _of(self, value: Any, depth: int) -> object:
        if value is None or isinstance(value, _CONSTANTS):
            return type(value), repr(value) if isinstance(value, float) else value
        if isinstance(value, torch.Tensor):
            return self._of_tensor(value)
        if isinstance(value, dict):
            return self._of_dict(value, depth)
        if isinstance(value, (list, tuple)):
            return type(value), tuple([self._of(part, depth) for part in value])
        if isinstance(value, (set, frozenset)):
            return type(value), frozenset(map(repr, value))
        with suppress(TypeError):
            self._seen.append(weakref.ref(value))
        inside = getattr(value, "__dict__", None)
        if depth and isinstance(inside, dict) and not isinstance(value, (nn.Module, type)):
            return type(value), id(value), self._of_dict(inside, depth - 1)
        return type(value), id(value)

    def _of_tensor(self, tensor: torch.Tensor) -> object:
        # A quantised weight is made of other tensors.
        parts = getattr(tensor, "__tensor_flatten__", None)
        if parts is not None:
            return type(tensor), tuple([self._of_tensor(getattr(tensor, name)) for name in parts()[0]])
        return tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype


def why_not_repeatable(transformer: nn.Module) -> str | None:
    """What about a transformer's modules would be lost where a call is not made, in a phrase; None if nothing.

    Hooks on the transformer itself are run all the same, so those do not matter. Parts in train mode do not
    either unless they drop something out, as the layers that a LoRA adds, which come so.
    """
    if transformer.training:
        return "the transformer is in train mode"
    for name, module in transformer.named_modules():
        what = name or "the transformer"
        if isinstance(module, _DropoutNd) and module.training and module.p:
            return f"{what} drops out at random"
        if hasattr(module, "_hf_hook"):
            return f"{what} is offloaded by accelerate, or has another hook of it"
        if not has_only_ours(module):
            return f"the forward of {what} is wrapped by something else"
        if name and (module._forward_hooks or module._forward_pre_hooks):
            return f"{what} has PyTorch hooks"
    return None
