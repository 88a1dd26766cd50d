"""What a study starts from: known schedules moved to its model and steps, as seeds and as prior of its surrogate."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecad_automl.errors import StorageError
from ecad_automl.files.arrays import read_arrays
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Bits, Schedule
from storage import Store, may_exist
from studies.cost import Cost
from studies.seeds import UNCACHED
from studies.warm_start._sources import Source
from surrogate import LogDrop, Prior

#: The origin of a seed that was known before starts so.
_ORIGIN = "init:"
_STORED = "init"
#: Evaluations of a prior; more teach little and take time in every generation.
_MOST = 1000


@dataclass(frozen=True, eq=False)
class WarmStart:
    """What a study starts from.

    Args:
        sources: names of what it was made from.
        seeds: schedules by origin; the first few of them are spread over the cost like all.
        prior: evaluations of other studies, or None.
    """

    sources: tuple[str, ...] = ()
    seeds: Mapping[str, Schedule] = field(default_factory=dict)
    prior: Prior | None = None

    @classmethod
    def from_sources(cls, sources: Sequence[Source], cost: Cost, limit: int) -> WarmStart:
        """What to start a study from."""
        seeds: dict[Schedule, str] = {}
        for source in sources:
            for name, schedule in source.seeds:
                later = schedule.effective[1:]
                if later.any() and not later.all():  # neither extreme is news
                    seeds.setdefault(schedule, name)
        chosen = _spread(list(seeds), cost, limit)
        named = _named((seeds[schedule], schedule) for schedule in chosen)
        return cls(tuple(source.name for source in sources), named, _prior(sources))

    def save(self, store: Store, study: str) -> None:
        """Keep it in a study, which then needs the sources no more."""
        arrays: dict[str, NDArray[np.generic]] = {
            "sources": np.array(self.sources, dtype=np.str_),
            "origins": np.array(list(self.seeds), dtype=np.str_),
            "seeds": _packed(schedule.effective for schedule in self.seeds.values()),
        }
        if self.prior is not None:
            arrays |= {"compute": _packed(self.prior.compute), "log_drop": self.prior.log_drop}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **arrays)
        store.save_calibration(study, _STORED, buffer.getvalue())

    @classmethod
    def load(cls, store: Store, study: str, layout: Layout, steps: int) -> WarmStart:
        """What a study was started from, if anything.

        Raises:
            StorageError: what is stored is damaged.
        """
        data = store.calibration(study, _STORED)
        if data is None:
            return cls()
        try:
            archive = read_arrays(data)
            sources, origins = (tuple(map(str, archive[name])) for name in ("sources", "origins"))
            seeds = _unpacked(archive["seeds"], len(origins), steps, layout)
            named = {name: Schedule(layout, bits) for name, bits in zip(origins, seeds, strict=True)}
            if "log_drop" not in archive:
                return cls(sources, named)
            log_drop = archive["log_drop"]
            compute = _unpacked(archive["compute"], len(log_drop), steps, layout)
            return cls(sources, named, Prior(compute, log_drop))
        # Arrays of other kinds than these fail in many ways.
        except Exception as error:
            raise StorageError(
                f"What the study {study!r} in {store.location} started from cannot be read ({type(error).__name__}: "
                f"{error}); restore the file."
            ) from error


def is_started(store: Store, study: str) -> bool:
    """Whether a study has begun, so that what it starts from is settled."""
    return store.calibration(study, _STORED) is not None or UNCACHED in store.baselines(study)


def has_started(storage: str | Path, study: str) -> bool:
    """:func:`is_started` for a database that may not exist yet.

    Raises:
        StorageError: the location is none for a study database.
    """
    if not may_exist(storage):
        return False
    with suppress(StorageError), Store.open(storage, read_only=True) as store:
        return is_started(store, study)
    return False  # one that cannot be read or has no studies; opening it to search says what is wrong, if anything


def _named(seeds: Iterable[tuple[str, Schedule]]) -> dict[str, Schedule]:
    """Seeds by origin; a number follows where two sources use one name."""
    named: dict[str, Schedule] = {}
    for name, schedule in seeds:
        origin, number = f"{_ORIGIN}{name}", 1
        while origin in named:
            number += 1
            origin = f"{_ORIGIN}{name} ({number})"
        named[origin] = schedule
    return named


def _spread(schedules: list[Schedule], cost: Cost, limit: int) -> list[Schedule]:
    """At most so many: for each of evenly spread costs the nearest that is left, near ones far apart in the order."""
    if not schedules or limit < 1:
        return []
    log_cost = np.log(cost.of(schedules))
    wanted = np.linspace(log_cost.min(), log_cost.max(), min(limit, len(schedules)))
    apart = np.abs(wanted[:, None] - log_cost)
    chosen = []
    for row in apart:
        chosen.append(int(row.argmin()))
        apart[:, chosen[-1]] = np.inf
    cheapest_first = sorted(chosen, key=lambda index: (log_cost[index], index))
    # Ranks by their digits in reverse (van der Corput): a front takes shape early, not from one end.
    ranks = sorted(range(len(chosen)), key=lambda rank: f"{rank:032b}"[::-1])
    return [schedules[cheapest_first[rank]] for rank in ranks]


def _prior(sources: Sequence[Source]) -> Prior | None:
    compute: list[Bits] = []
    log_drops: list[float] = []
    for source in sources:
        if source.evaluated:
            # Studies differ in what a reward means, but not in that it falls from the uncached run to the worst one.
            scale = LogDrop(source.uncached, max(source.uncached - source.worst, 0.0))
            compute += [schedule.effective for schedule in source.evaluated]
            log_drops += scale.of(source.rewards).tolist()
    if not compute:
        return None
    kept = np.unique(np.linspace(0, len(compute) - 1, min(_MOST, len(compute))).astype(int))
    return Prior(np.stack([compute[index] for index in kept]), np.array(log_drops)[kept])


def _packed(schedules: Iterable[Bits]) -> NDArray[np.uint8]:
    return np.packbits(np.array(list(schedules), dtype=np.bool_))


def _unpacked(packed: NDArray[np.uint8], count: int, steps: int, layout: Layout) -> Bits:
    """``(count, steps, slots)``."""
    bits = np.unpackbits(packed, count=count * steps * len(layout)).astype(np.bool_)
    return bits.reshape(count, steps, len(layout))
