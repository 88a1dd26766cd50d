"""Work on the text that is the same in every step, done once in a run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import torch
from torch import nn

from ecad_automl.runtime.blocks import Forward, blocks_of
from ecad_automl.runtime.families import family_of
from ecad_automl.runtime.steps import ContextKey

__all__ = ["TextOutputs", "text_modules", "text_paths"]


def text_modules(transformer: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The modules of a transformer that see nothing but the text, by path: those of its family that it has.

    Raises:
        UnsupportedModelError: the class of the transformer is not supported.
    """
    family = family_of(transformer)
    for path in family.text:
        module = _at(transformer, path)
        if module is not None:
            yield path, module
    if family.joins_text(transformer):
        return
    for block in blocks_of(transformer):
        for component in block.components:
            for name in component.text:
                module = _at(block.module, f"{component.name}.{name}")
                if module is not None:
                    yield f"{block.path}.{component.name}.{name}", module


def text_paths(transformer: nn.Module) -> list[str]:
    """The paths of :func:`text_modules`."""
    return [path for path, _ in text_modules(transformer)]


def _at(root: nn.Module, path: str) -> nn.Module | None:
    try:
        module = attrgetter(path)(root)
    except AttributeError:
        return None
    return module if isinstance(module, nn.Module) else None


@dataclass(frozen=True)
class _Kept:
    """What a module was given, and what it made of it."""

    given: torch.Tensor
    given_version: int
    output: torch.Tensor
    output_version: int

    def serves(self, value: torch.Tensor) -> bool:
        """Whether ``value`` is what the module was given: the same memory, not written to since."""
        return (
            value.data_ptr() == self.given.data_ptr()
            and value.shape == self.given.shape
            and value.stride() == self.given.stride()
            and value.dtype == self.given.dtype
            and value._version == self.given_version
            and self.output._version == self.output_version
        )


class TextOutputs:
    """Keeps what text modules give, each guidance branch for itself.

    Nothing is taken on trust: an output is given again only for the very memory it was made of, as long as neither
    has been written to. What was given is held, so that its memory cannot become another text's.
    """

    def __init__(self) -> None:
        self._contexts: dict[ContextKey, dict[int, _Kept]] = {}
        self._kept: dict[int, _Kept] = {}

    def begin(self, context: ContextKey) -> None:
        """A transformer call of that guidance branch begins."""
        self._kept = self._contexts.setdefault(context, {})

    def visit(self, index: int, forward: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The output of the text module number ``index``."""
        if kwargs or len(args) != 1 or not isinstance(args[0], torch.Tensor) or torch.is_grad_enabled():
            return forward(*args, **kwargs)
        given = args[0]
        if given.is_inference():  # writes to it are not counted
            return forward(given)
        kept = self._kept.get(index)
        if kept is None or not kept.serves(given):
            output = forward(given)
            if not isinstance(output, torch.Tensor) or output.is_inference():
                return output
            kept = self._kept[index] = _Kept(given, given._version, output, output._version)
        return kept.output

    def drop(self, context: ContextKey) -> None:
        """Free what a guidance branch has."""
        self._contexts.pop(context, None)

    def clear(self) -> None:
        """Free everything."""
        self._contexts.clear()
        self._kept = {}
