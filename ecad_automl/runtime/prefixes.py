"""What the first steps of a run have led to, for other runs that begin with the same steps."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_leaves

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


@dataclass(frozen=True)
class Prefix:
    """A transformer call and all calls of its guidance branch before it.

    Args:
        step: of the call.
        result: what the transformer gave.
        cached: the latest output of every slot, whichever step it is of.
        outputs: what they were made of.
    """

    step: int
    result: Any
    cached: CachedOutputs
    outputs: Mapping[Entry, Spec]

    def storages(self) -> dict[int, int]:
        """The bytes of each storage, by its address."""
        tensors = [leaf for leaf in tree_leaves(self.result) if isinstance(leaf, torch.Tensor)]
        tensors += [kept.tensor for output in self.cached.values() for kept in output]
        storages = [tensor.untyped_storage() for tensor in tensors]
        return {storage.data_ptr(): storage.nbytes() for storage in storages}


# What a step costs a prefix, in times that it was asked for. In replays of two searches of 300 schedules, values from
# 0.2 to 0.5 saved more than 0 in memory for 5 to 10 steps, and a little less in memory for 100.
_DEPTH = 0.25


class _Held:
    """A prefix with what decides how long it stays."""

    def __init__(self, prefix: Prefix, tick: int) -> None:
        self.prefix, self.tick = prefix, tick
        self.storages = prefix.storages()
        self.asked = 1
        self.worth = 0

    def rank(self) -> tuple[float, int]:
        return self.worth - _DEPTH * self.prefix.step, self.tick


class Prefixes:
    """Memory for prefixes of runs, by all that they depend on.

    What is asked for least goes first, deep prefixes before others, of equals what has lain longest. How often
    something was asked for counts from the worth of what had to go last when it came or was asked for, so that it ages.

    Args:
        limit: bytes to hold at most; storages that several prefixes share count once. What a run holds while it is
            followed comes on top: the outputs of all slots, and no more of them than the limit either.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._held: dict[bytes, _Held] = {}
        self._users: dict[int, tuple[int, int]] = {}  # bytes of each storage and how many prefixes have it
        self._nbytes = 0
        self._age = 0
        self._tick = 0
        self._model: tuple[object, ...] = ()
        self._trusts = False
        self._looked_at: tuple[tuple[object, ...], bool] | None = None  # and whether its runs may share
        self._too_large: set[bytes] = set()
        self._calls = self._shared = self._macs = self._shared_macs = 0

    def __len__(self) -> int:
        return len(self._held)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self._nbytes

    def report(self) -> PrefixReport:
        """What was shared so far."""
        return PrefixReport(self._calls, self._shared, self._macs, self._shared_macs, self._nbytes)

    def clear(self) -> None:
        """Free everything."""
        self._held.clear()
        self._users.clear()
        self._too_large.clear()
        self._nbytes = 0

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

    def find(self, key: bytes) -> Prefix | None:
        """The prefix of that key, if it is held."""
        held = self._held.get(key)
        if held is None:
            return None
        self._tick += 1
        held.tick = self._tick
        held.asked += 1
        held.worth = self._age + held.asked
        return held.prefix

    def add(self, key: bytes, prefix: Prefix) -> bool:
        """Hold a prefix if it is worth more than what would have to go for it, and say whether it is held."""
        self._tick += 1
        new = _Held(prefix, self._tick)
        new.worth = self._age + 1
        if sum(new.storages.values()) > self.limit:
            return False
        while self._nbytes + sum(size for at, size in new.storages.items() if at not in self._users) > self.limit:
            least, held = min(self._held.items(), key=lambda item: item[1].rank())
            if held.rank() > new.rank():
                return False
            self._age = held.worth
            self._free(least)
        self._held[key] = new
        for at, size in new.storages.items():
            _, users = self._users.get(at, (size, 0))
            self._users[at] = size, users + 1
            self._nbytes += size if users == 0 else 0
        return True

    def fits(self, key: bytes) -> bool:
        """Whether the prefix of that key may fit."""
        return key not in self._too_large

    def refuse(self, key: bytes) -> None:
        """Take the prefix of that key for too large from now on."""
        self._too_large.add(key)

    def count(self, macs: int, *, shared: bool) -> None:
        """Count a transformer call."""
        self._calls += 1
        self._macs += macs
        if shared:
            self._shared += 1
            self._shared_macs += macs

    def _free(self, key: bytes) -> None:
        for at in self._held.pop(key).storages:
            size, users = self._users.pop(at)
            if users > 1:
                self._users[at] = size, users - 1
            else:
                self._nbytes -= size


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
