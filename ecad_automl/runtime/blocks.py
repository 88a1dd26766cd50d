"""The blocks of a transformer with their slots, and standing in for slots while a block runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from typing import Any

from torch import nn

from ecad_automl.errors import CacheStateError
from ecad_automl.patching import replaced
from ecad_automl.runtime.cache import Output
from ecad_automl.runtime.families import Component, family_of
from ecad_automl.schedules.layout import Slot

Forward = Callable[..., Any]

#: A call of a slot's module in a block: its place among the block's slots, and how many calls of it came before in
#: this forward.
SlotCall = tuple[int, int]

#: Called in place of a slot's forward, with the call, the forward, and its arguments.
Visit = Callable[[SlotCall, Forward, tuple[Any, ...], dict[str, Any]], Output]


@dataclass(frozen=True)
class Block:
    """A block of a transformer.

    Args:
        path: of the block in the transformer.
        module: the block itself.
        first: number of its first slot in the layout.
        components: what it has as slots, in the order of the layout.
        chain: whether it may work in the memory of what the block before it gave.
        whole: why it has to be run whole, never from a recording; None where it may be recorded.
    """

    path: str
    module: nn.Module
    first: int
    components: tuple[Component, ...]
    chain: bool = False
    whole: str | None = None

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        """The module of each slot, as it is now: loading a LoRA may replace it."""
        return tuple(attrgetter(component.name)(self.module) for component in self.components)

    @property
    def calls(self) -> frozenset[SlotCall]:
        """All calls that a forward makes of slots."""
        return frozenset(
            (place, number) for place, component in enumerate(self.components) for number in range(component.calls)
        )


def blocks_of(transformer: nn.Module) -> tuple[Block, ...]:
    """The blocks that have slots, in the order of the layout.

    Raises:
        UnsupportedModelError: the class of the transformer is not supported.
    """
    blocks: list[Block] = []
    first = 0
    family = family_of(transformer)
    for group in family.groups:
        for index, item in enumerate(attrgetter(group.path)(transformer)):
            module = getattr(item, group.inner) if group.inner else item
            # A component that a block lacks is None, as attn2 of a PixArt configured without cross-attention.
            components = tuple(part for part in group.components if getattr(module, part.name, None) is not None)
            if components:
                path = ".".join(filter(None, (group.path, str(index), group.inner)))
                blocks.append(Block(path, module, first, components, group.chain, family.whole))
                first += len(components)
    return tuple(blocks)


def slots_of(transformer: nn.Module) -> tuple[Slot, ...]:
    """The slots of a transformer in the order of a forward, with MACs of 0.

    Raises:
        UnsupportedModelError: no blocks were found in the transformer.
    """
    return tuple(
        Slot(block.path, component.name, component.reader)
        for block in blocks_of(transformer)
        for component in block.components
    )


def text_modules(transformer: nn.Module) -> dict[str, nn.Module]:
    """The modules of a transformer that see nothing but the text, by path: those of its family that it has.

    Raises:
        UnsupportedModelError: the class of the transformer is not supported.
    """
    family = family_of(transformer)
    paths = list(family.text)
    if family.joins_text is None or not family.joins_text(transformer):
        paths += [
            f"{block.path}.{component.name}.{name}"
            for block in blocks_of(transformer)
            for component in block.components
            for name in component.text
        ]
    found = {path: _at(transformer, path) for path in paths}
    return {path: module for path, module in found.items() if module is not None}


def position_modules(transformer: nn.Module) -> dict[str, tuple[nn.Module, tuple[str, ...]]]:
    """The modules of a transformer that make embeddings of positions, by path, each with the arguments they come from.

    Raises:
        UnsupportedModelError: the class of the transformer is not supported.
    """
    found = {path: (_at(transformer, path), names) for path, names in family_of(transformer).positions.items()}
    return {path: (module, names) for path, (module, names) in found.items() if module is not None}


def _at(root: nn.Module, path: str) -> nn.Module | None:
    try:
        module = attrgetter(path)(root)
    except AttributeError:
        return None
    return module if isinstance(module, nn.Module) else None


def parts_of(transformers: Sequence[nn.Module]) -> tuple[object, ...]:
    """All that recordings of blocks rest on: the modules, and what is put on those that recording looks into.

    Of slots and of the blocks themselves only the modules: these carry hooks of ours, and are never looked into; and of
    each block whether PyTorch's hooks are on any slot, since it is not recorded then.
    """
    parts: list[object] = [module for transformer in transformers for module in transformer.modules()]
    for block in chain(*map(blocks_of, transformers)):
        apart = {block.module, *(module for slot in block.modules for module in slot.modules())}
        for module in block.module.modules():
            if module not in apart:
                parts.append(vars(module).get("forward"))
                parts.append(type(getattr(module, "weight", None)))  # quantised in place, perhaps
                parts += (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
        inside = apart - {block.module}
        parts.append(any(module._forward_hooks or module._forward_pre_hooks for module in inside))
    return tuple(parts)


@contextmanager
def visited_slots(block: Block, visit: Visit) -> Iterator[None]:
    """Have a block call ``visit`` in place of its slots' forwards; for one forward of the block.

    Raises:
        CacheStateError: at the end, where the slots were not called as often as they should.
    """
    called: list[SlotCall] = []

    def stand_in(place: int, forward: Forward) -> Forward:
        def visited(*args: Any, **kwargs: Any) -> Output:
            call = (place, sum(other == place for other, _ in called))
            called.append(call)
            return visit(call, forward, args, kwargs)

        return visited

    stand_ins = [(module, stand_in(place, module.forward)) for place, module in enumerate(block.modules)]
    with replaced("forward", *stand_ins):
        yield
    wrong = block.calls.symmetric_difference(called)
    if wrong:
        place, number = min(wrong)
        component = block.components[place]
        often = f"{number} times" if number < component.calls else f"more than {component.calls} times"
        raise CacheStateError(
            f"{block.path}.{component.name} was called {often} in a forward, not {component.calls}; chunked "
            "feed-forward and other caches cannot be combined with a schedule."
        )
