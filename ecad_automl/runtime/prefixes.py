"""What the first steps of a run have led to, for other runs that begin with the same steps."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from ecad_automl.runtime.cache import CachedOutputs, Entry
from ecad_automl.runtime.program import Functions
from ecad_automl.runtime.state import ModuleState, why_not_repeatable
from ecad_automl.runtime.structure import Spec


@dataclass(frozen=True)
class PrefixReport:
    """What was shared so far.

    Args:
        calls: how many transformer calls there were.
        shared: how many of them were not run.
        macs: multiply-accumulates of all calls by the layout, for one image each.
        shared_macs: those of the calls that were not run.
        nbytes: bytes held now.
    """

    calls: int = 0
    shared: int = 0
    macs: int = 0
    shared_macs: int = 0
    nbytes: int = 0


#: Number of a slot, or after these of the transformer, and the step that an output of it is of.
Source = tuple[int, int]


@dataclass(frozen=True)
class Prefix:
    """A transformer call that was entered, and all calls of its guidance branch before it.

    Args:
        step: of the call.
        whole: the last outputs of the transformer, that of the call included.
        slots: the last outputs of every slot; none of them where nobody may go on from there who reads some.
        forms: what all these were made of, and those of before.
    """

    step: int
    whole: CachedOutputs
    slots: CachedOutputs
    forms: Mapping[Entry, Any]

    @property
    def sources(self) -> set[Source]:
        """What it has outputs of."""
        return {(entry, step) for entry, _, step in (*self.whole, *self.slots)}


def _storages(outputs: CachedOutputs) -> dict[int, int]:
    """The bytes of each storage, by its address."""
    storages = [tensor.untyped_storage() for kept in outputs.values() for tensor, *_ in kept]
    return {storage.data_ptr(): storage.nbytes() for storage in storages}


# What a step costs a prefix, in times that it was asked for. In replays of two searches of 300 schedules, values from
# 0.2 to 0.5 saved more than 0 in memory for 5 to 10 steps, and a little less in memory for 100.
_DEPTH = 0.25


class _Held:
    """Outputs with what decides how long they stay."""

    def __init__(self, prefix: Prefix, outputs: CachedOutputs, tick: int) -> None:
        self.prefix, self.outputs, self.tick = prefix, outputs, tick
        self.storages = _storages(outputs)
        self.asked = 1
        self.worth = 0

    def rank(self) -> tuple[float, int]:
        return self.worth - _DEPTH * self.prefix.step, self.tick


class _Memory:
    """Holds outputs of one kind.

    What is asked for least goes first, deep prefixes before others, of equals what has lain longest. How often
    something was asked for counts from the worth of what had to go last when it came or was asked for, so that it ages.
    """

    def __init__(self) -> None:
        self.held: dict[bytes, _Held] = {}
        self.nbytes = 0
        self._users: dict[int, tuple[int, int]] = {}  # bytes of each storage and how many prefixes have it
        self._age = 0
        self._tick = 0

    def clear(self) -> None:
        """Free everything."""
        self.held.clear()
        self._users.clear()
        self.nbytes = 0

    def find(self, key: bytes) -> _Held | None:
        """What is held under a key, if anything, which counts as asked for."""
        held = self.held.get(key)
        if held is not None:
            self._tick += 1
            held.tick = self._tick
            held.asked += 1
            held.worth = self._age + held.asked
        return held

    def add(self, key: bytes, prefix: Prefix, outputs: CachedOutputs, limit: int) -> bool:
        """Hold outputs if they are worth more than what would have to go for them; whether they are held."""
        self._tick += 1
        new = _Held(prefix, outputs, self._tick)
        if (old := self.held.get(key)) is not None:
            new.asked = old.asked
            self._free(key)
        new.worth = self._age + new.asked
        if sum(new.storages.values()) > limit or not self._make_room(new, limit):
            return False
        self.held[key] = new
        for at, size in new.storages.items():
            _, users = self._users.get(at, (size, 0))
            self._users[at] = size, users + 1
            self.nbytes += size if users == 0 else 0
        return True

    def shrink(self, limit: int) -> None:
        """Hold no more than so many bytes from now on."""
        while self.nbytes > limit:
            self._free_least()

    def _make_room(self, new: _Held, limit: int) -> bool:
        while self.nbytes + sum(size for at, size in new.storages.items() if at not in self._users) > limit:
            if min(held.rank() for held in self.held.values()) > new.rank():
                return False
            self._free_least()
        return True

    def _free_least(self) -> None:
        least = min(self.held, key=lambda key: self.held[key].rank())
        self._age = self.held[least].worth
        self._free(least)

    def _free(self, key: bytes) -> None:
        for at in self.held.pop(key).storages:
            size, users = self._users.pop(at)
            if users > 1:
                self._users[at] = size, users - 1
            else:
                self.nbytes -= size


class Prefixes:
    """Memory for prefixes of runs, by all that they depend on.

    The transformer's own outputs are small, and all that runs need which compute or skip whole steps: they may have up
    to half of the memory, and outputs of slots have what they leave.

    Args:
        limit: bytes to hold at most; storages that several prefixes share count once. What a run holds while it is
            followed comes on top: the outputs of all slots, and no more of them than the limit either.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._whole, self._slots = _Memory(), _Memory()
        self._model: tuple[object, ...] = ()
        self._trusts = False
        self._looked_at: tuple[tuple[object, ...], bool] | None = None  # and whether its runs may share
        self._too_large: set[bytes] = set()
        self._calls = self._shared = self._macs = self._shared_macs = 0

    def __len__(self) -> int:
        return len(self._whole.held)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self._whole.nbytes + self._slots.nbytes

    def report(self) -> PrefixReport:
        """What was shared so far."""
        return PrefixReport(self._calls, self._shared, self._macs, self._shared_macs, self.nbytes)

    def clear(self) -> None:
        """Free everything."""
        self._whole.clear()
        self._slots.clear()
        self._too_large.clear()

    @contextmanager
    def one_model(self) -> Iterator[None]:
        """Have the model looked at before the first run in here alone: the caller sees to it that it does not change.

        What blocks are made of is compared before each run all the same.
        """
        self._trusts = True
        try:
            yield
        finally:
            self._trusts, self._looked_at = False, None

    def take_model(self, transformers: Sequence[nn.Module], functions: Functions) -> bool:
        """Before a run: forget all if anything about the model is not as it was.

        Returns:
            Whether the run may share: not where something would be lost when a transformer's Python does not run.
        """
        model = (*transformers, functions, functions.forgotten)
        if self._looked_at is not None and self._looked_at[0] == model:
            return self._looked_at[1]
        shares = self._look_at(transformers, functions)
        if self._trusts:
            self._looked_at = model, shares
        return shares

    def _look_at(self, transformers: Sequence[nn.Module], functions: Functions) -> bool:
        if self.limit <= 0 or any(why_not_repeatable(each) is not None for each in transformers):
            return False
        versions = tuple(_version(tensor) for each in transformers for tensor in (*each.parameters(), *each.buffers()))
        model = (functions, functions.forgotten, versions, *map(ModuleState, transformers))
        if model != self._model:
            self.clear()
            self._model = model
        return None not in versions

    def find(self, key: bytes, needed: Set[Source]) -> Prefix | None:
        """The prefix of that key, if it is held with the outputs that are needed."""
        whole = self._whole.find(key)
        if whole is None or needed <= whole.prefix.sources:
            return None if whole is None else whole.prefix
        slots = self._slots.find(key)
        if slots is None:
            return None
        forms = {**slots.prefix.forms, **whole.prefix.forms}
        found = replace(whole.prefix, slots=slots.outputs, forms=forms)
        return found if needed <= found.sources else None

    def add(self, key: bytes, prefix: Prefix) -> tuple[bool, bool]:
        """Hold a prefix as far as it is worth more than what would have to go for it.

        Returns:
            Whether it is held, and whether the outputs of slots are.
        """
        if not self._whole.add(key, replace(prefix, slots={}), prefix.whole, self.limit // 2):
            return False, False
        left = self.limit - self._whole.nbytes
        self._slots.shrink(left)
        return True, bool(prefix.slots) and self._slots.add(key, replace(prefix, whole={}), prefix.slots, left)

    def may_hold_slots(self, key: bytes) -> bool:
        """Whether the outputs of slots may fit, with which the prefix of that key begins."""
        return key not in self._too_large

    def refuse_slots(self, key: bytes) -> None:
        """Take the outputs of slots with which the prefix of that key begins for too large from now on."""
        self._too_large.add(key)

    def count(self, macs: int, *, shared: bool) -> None:
        """Count a transformer call."""
        self._calls += 1
        self._macs += macs
        if shared:
            self._shared += 1
            self._shared_macs += macs


class Fingerprints:
    """Digests of what a transformer call is given; equal digests mean equal bits.

    Tensors that come again as the same object, not written to since, are read once.
    """

    def __init__(self) -> None:
        self._known: list[tuple[torch.Tensor, int, bytes]] = []

    def of(self, spec: Spec, tensors: Iterable[torch.Tensor]) -> bytes | None:
        """The digest of arguments; None where some tensor cannot be read."""
        total = hashlib.blake2b(repr(spec).encode(), digest_size=32)
        known: list[tuple[torch.Tensor, int, bytes]] = []
        for tensor in tensors:
            digest = self._of(tensor)
            if digest is None:
                return None
            total.update(digest)
            version = _version(tensor)
            if version is not None:
                known.append((tensor, version, digest))
        self._known = known
        return total.digest()

    def unchanged(self) -> bool:
        """Whether no tensor of the last arguments was written to since."""
        return all(_version(tensor) == version for tensor, version, _ in self._known)

    def _of(self, tensor: torch.Tensor) -> bytes | None:
        for other, version, digest in self._known:
            if other is tensor and tensor._version == version:
                return digest
        if type(tensor) not in (torch.Tensor, nn.Parameter) or tensor.layout is not torch.strided:
            return None
        if tensor.is_conj() or tensor.is_neg():  # their memory is not what they say
            return None
        found = hashlib.blake2b(repr(tensor.stride()).encode(), digest_size=32)
        values = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        found.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
        return found.digest()


def _version(tensor: torch.Tensor) -> int | None:
    """How often a tensor was written to; None where that is not counted."""
    return None if tensor.is_inference() else tensor._version
