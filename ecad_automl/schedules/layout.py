"""What of a transformer can be cached: slots, and the MACs of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecad_automl.errors import ScheduleError


@dataclass(frozen=True)
class Slot:
    """One cacheable component of one transformer block.

    Args:
        block: path of the block in the transformer, such as ``transformer_blocks.3``.
        component: name of the component in the block, such as ``attn1``, ``attn2`` or ``ff``.
        reader: the component of the same block that alone reads this one's output, or None where the output joins
            the residual stream and so is read at every step.
        macs: multiply-accumulates of one computation, for one image at the layout's sample. Two slots that differ
            only here, or in what follows, are equal.
        text_macs: those of them that are spent on the text alone, which is the same in every step.
        elements: of the output, for one image at the layout's sample.
        conditional: what of ``macs`` and ``text_macs`` the branch with the prompt takes alone, where there are two
            guidance branches; half of them if None.
    """

    block: str
    component: str
    reader: str | None = None
    macs: int = field(default=0, compare=False)
    text_macs: int = field(default=0, compare=False)
    elements: int = field(default=0, compare=False)
    conditional: tuple[int, int] | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        """``block.component``."""
        return f"{self.block}.{self.component}"


@dataclass(frozen=True)
class Modulation:
    """Rows of layers beside the slots, that make shifts and scales from the timestep, which some slots alone read.

    Args:
        macs: of these rows in one forward, for one image; they are among the layout's ``constant_macs``.
        readers: the numbers of the slots. Where none of them is computed, the rows need not be either.
    """

    macs: int
    readers: tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """The slots of a transformer in the order in which a forward computes them.

    Args:
        transformer: class name of the transformer.
        slots: all slots; slots of one block are adjacent.
        constant_macs: MACs of one forward that no schedule avoids, for one image at ``sample``.
        text_macs: those of them that are spent on the text alone, which is the same in every step.
        sample: what the MACs were counted for (latent or token counts, guidance branches), for people to read; of these
            ``calls`` is in how many calls of the transformer a step is made, 1 where it is not told.
        conditional: what of ``constant_macs`` and ``text_macs`` the branch with the prompt takes alone; half if None.
        modulations: what of ``constant_macs`` a run under a schedule leaves out; files do not tell.
    """

    transformer: str
    slots: tuple[Slot, ...]
    constant_macs: int = field(default=0, compare=False)
    sample: Mapping[str, int] = field(default_factory=dict, compare=False)
    text_macs: int = field(default=0, compare=False)
    conditional: tuple[int, int] | None = field(default=None, compare=False)
    modulations: tuple[Modulation, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        names = [slot.name for slot in self.slots]
        if not names:
            raise ScheduleError(f"The layout of {self.transformer} has no slots; it needs at least one.")
        if len(set(names)) != len(names):
            twice = Counter(names).most_common(1)[0][0]
            raise ScheduleError(f"The layout of {self.transformer} names the slot {twice!r} twice; names must differ.")
        at = {slot.name: (index, slot) for index, slot in enumerate(self.slots)}
        for index, slot in enumerate(self.slots):
            if slot.reader is None:
                continue
            place, reader = at.get(f"{slot.block}.{slot.reader}", (-1, None))
            if reader is None:
                raise ScheduleError(f"The slot {slot.name!r} names {slot.reader!r} as its reader, which is no slot.")
            if place <= index or reader.reader is not None:
                raise ScheduleError(
                    f"The slot {slot.name!r} names {slot.reader!r} as its reader, which must be a later slot of the "
                    "block that the residual stream reads."
                )
        counts = [(slot.macs, slot.text_macs, slot.elements) for slot in self.slots]
        if any(not 0 <= count < 2**63 for row in ((self.constant_macs, self.text_macs), *counts) for count in row):
            raise ScheduleError(f"The layout of {self.transformer} has MACs that are negative or beyond 63 bits.")
        parts = (
            (part, whole)
            for each in self._counted
            for part, whole in zip(each.conditional or (), self._counts(each), strict=False)
        )
        if any(not 0 <= part <= whole for part, whole in parts):
            raise ScheduleError(f"The layout of {self.transformer} has more MACs for one guidance branch than in all.")
        if any(text > macs for macs, text in ((self.constant_macs, self.text_macs), *(row[:2] for row in counts))):
            raise ScheduleError(f"The layout of {self.transformer} has more MACs for the text than in all.")

    @property
    def _counted(self) -> tuple[Slot | Layout, ...]:
        return (*self.slots, self)

    @staticmethod
    def _counts(each: Layout | Slot) -> tuple[int, int]:
        return (each.macs if isinstance(each, Slot) else each.constant_macs), each.text_macs

    def __len__(self) -> int:
        return len(self.slots)

    @cached_property
    def blocks(self) -> tuple[str, ...]:
        """Paths of the blocks, in order."""
        return tuple(dict.fromkeys(slot.block for slot in self.slots))

    @cached_property
    def components(self) -> tuple[str, ...]:
        """Component names, in order of first appearance."""
        return tuple(dict.fromkeys(slot.component for slot in self.slots))

    @cached_property
    def block_index(self) -> NDArray[np.intp]:
        """``(slots,)``: the position in ``blocks`` of each slot's block."""
        at = {block: index for index, block in enumerate(self.blocks)}
        return np.array([at[slot.block] for slot in self.slots], dtype=np.intp)

    @cached_property
    def component_index(self) -> NDArray[np.intp]:
        """``(slots,)``: the position in ``components`` of each slot's component."""
        at = {component: index for index, component in enumerate(self.components)}
        return np.array([at[slot.component] for slot in self.slots], dtype=np.intp)

    @cached_property
    def reader_index(self) -> NDArray[np.intp]:
        """``(slots,)``: the slot that reads each slot's output, -1 where the residual stream does."""
        at = {slot.name: index for index, slot in enumerate(self.slots)}
        readers = [-1 if slot.reader is None else at[f"{slot.block}.{slot.reader}"] for slot in self.slots]
        return np.array(readers, dtype=np.intp)

    @cached_property
    def slot_macs(self) -> NDArray[np.int64]:
        """``(slots,)``: MACs of one computation of each slot, for one image."""
        return np.array([slot.macs for slot in self.slots], dtype=np.int64)

    @cached_property
    def slot_text_macs(self) -> NDArray[np.int64]:
        """``(slots,)``: MACs of each slot that are spent on the text alone, for one image."""
        return np.array([slot.text_macs for slot in self.slots], dtype=np.int64)

    @cached_property
    def slot_elements(self) -> NDArray[np.int64]:
        """``(slots,)``: elements of each slot's output, for one image."""
        return np.array([slot.elements for slot in self.slots], dtype=np.int64)

    @cached_property
    def conditional_macs(self) -> NDArray[np.int64]:
        """``(slots + 1, 2)``: MACs of each slot, and last of all else, in the conditional branch alone; on the text."""
        parts = [each.conditional or tuple(count // 2 for count in self._counts(each)) for each in self._counted]
        return np.array(parts, dtype=np.int64)

    @property
    def branches(self) -> int:
        """How many guidance branches its MACs are of, 1 where it is not told."""
        return self.sample.get("branches", 1)

    @property
    def calls(self) -> int:
        """In how many calls of the transformer a step is made: two where each guidance branch has its own."""
        return self.sample.get("calls", 1)

    @property
    def step_macs(self) -> int:
        """MACs of one forward with everything computed, for one image."""
        return self.constant_macs + int(self.slot_macs.sum())

    def difference(self, other: Layout) -> str | None:
        """One phrase that says how ``other`` differs from this layout, or None where a schedule fits both."""
        if self.transformer != other.transformer:
            return f"it is for {other.transformer}, not {self.transformer}"
        if len(self.blocks) != len(other.blocks):
            return f"it is for {len(other.blocks)} blocks, not {len(self.blocks)}"
        if len(self) != len(other):
            return f"it has {len(other)} slots, not {len(self)}"
        for mine, theirs in zip(self.slots, other.slots, strict=True):
            if mine != theirs:
                return f"it has the slot {theirs.name!r} where {mine.name!r} is expected"
        return None

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready description, the inverse of :meth:`from_dict`."""
        return {
            "transformer": self.transformer,
            "sample": dict(self.sample),
            "constant_macs": self.constant_macs,
            "text_macs": self.text_macs,
            **({} if self.conditional is None else {"conditional": list(self.conditional)}),
            "slots": [
                {name: value for name, value in asdict(slot).items() if name != "conditional" or value is not None}
                for slot in self.slots
            ],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Layout:
        """Read what :meth:`to_dict` wrote.

        Raises:
            ScheduleError: a field is missing or of the wrong kind.
        """
        try:
            slots = tuple(
                Slot(
                    str(s["block"]),
                    str(s["component"]),
                    s.get("reader"),
                    macs=int(s.get("macs", 0)),
                    text_macs=int(s.get("text_macs", 0)),
                    elements=int(s.get("elements", 0)),
                    conditional=_pair(s.get("conditional")),
                )
                for s in data["slots"]
            )
            sample = {str(k): int(v) for k, v in data.get("sample", {}).items()}
            constant, text = (int(data.get(name, 0)) for name in ("constant_macs", "text_macs"))
            return cls(str(data["transformer"]), slots, constant, sample, text, _pair(data.get("conditional")))
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
            raise ScheduleError(
                f"The layout cannot be read ({type(error).__name__}: {error}); it needs 'transformer' and 'slots', "
                "each slot with 'block' and 'component'."
            ) from error


def _pair(value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    macs, text = value
    return int(macs), int(text)


def place_of(block: str) -> tuple[str, str]:
    """The list that a block is in, and its number there, by its path; of a path without a number itself, and none."""
    parts = block.split(".")
    at = max((index for index, part in enumerate(parts) if part.isdecimal()), default=len(parts))
    return ".".join(parts[:at] + parts[at + 1 :]), "".join(parts[at : at + 1])


def rows_at(steps: int, wanted: int) -> NDArray[np.intp]:
    """``(wanted,)``: for each step of a run of another number of steps, that at the same share of this one."""
    return np.minimum((np.arange(wanted) + 0.5) * steps / wanted, steps - 1).astype(np.intp)
