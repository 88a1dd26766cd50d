"""Splits of a prompt set into prompts for calibration and prompts held out, and how a split is recorded."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from ecad_automl.errors import PromptError
from ecad_automl.prompts.prompt_set import PromptSet, shown


class Fingerprint(BaseModel):
    """What tells prompts from others.

    Attributes:
        size: number of prompts.
        digest: see :attr:`PromptSet.digest`.
    """

    model_config = ConfigDict(frozen=True, strict=True)

    size: int
    digest: str

    def __str__(self) -> str:
        return f"{self.size} ({self.digest[:12]})"


class SplitRecord(BaseModel):
    """What a database keeps of a split: enough to notice other prompts, not the prompts themselves.

    Attributes:
        name: of the set that was split.
        source: of the set that was split.
        seed: what the split was drawn with.
        whole: the set that was split.
        calibration: the prompts for calibration.
        held_out: the prompts held out.
    """

    model_config = ConfigDict(frozen=True, strict=True)

    name: str
    source: str
    seed: int
    whole: Fingerprint
    calibration: Fingerprint
    held_out: Fingerprint

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """What ``model_dump`` gave.

        Raises:
            PromptError: something is missing or of another type.
        """
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise PromptError(
                f"The record of the prompt split has {shown(first['input'])} as {place!r} ({first['msg']}); it is "
                "damaged."
            ) from error


@dataclass(frozen=True)
class PromptSplit:
    """Two sets without a prompt in common.

    Args:
        whole: what was split.
        calibration: what a search looks at.
        held_out: what it does not see.
        seed: what the split was drawn with.
    """

    whole: PromptSet
    calibration: PromptSet
    held_out: PromptSet
    seed: int

    @property
    def record(self) -> SplitRecord:
        """What a database keeps of it."""
        return SplitRecord(
            name=self.whole.name,
            source=self.whole.source,
            seed=self.seed,
            whole=_fingerprint(self.whole),
            calibration=_fingerprint(self.calibration),
            held_out=_fingerprint(self.held_out),
        )


def split_prompts(
    prompts: PromptSet, calibration: float, *, held_out: float | None = None, seed: int = 0
) -> PromptSplit:
    """Draw prompts for calibration, and prompts to hold out from the rest.

    Both draws are stratified: the numbers per category are proportional to what they are drawn from (all prompts, then
    what is left), rounded by the largest remainder, so that each is within one of its exact share. Prompts of unknown
    category are a category of their own. Within a category, the prompts with the smallest SHA-256 of seed and prompt
    are drawn. The split therefore depends on the seed and on which prompts there are, but not on their order in the
    file, and the prompts for calibration do not depend on how many are held out. Both sets are in the order of those
    hashes, a random one: their first prompts are a fair sample.

    Args:
        prompts: what to split.
        calibration: how many prompts, or as a float the share of all, in (0, 1); rounded to the nearest number, at
            least one.
        held_out: likewise; None takes all the rest, and so does a share that rounds to one more than that.
        seed: any integer.

    Raises:
        PromptError: a number or share is out of range, or there are not so many prompts.
    """
    count = _count(calibration, len(prompts), "calibration")
    rest = len(prompts) - count
    kept = rest if held_out is None else _count(held_out, len(prompts), "holding out")
    if isinstance(held_out, float) and kept == rest + 1:
        kept = rest
    if kept < 1 or kept > rest:
        raise PromptError(
            f"The prompt set {prompts.name!r} has {len(prompts)} prompts, too few for {count} for calibration and "
            f"{max(kept, 1)} held out; ask for fewer."
        )
    ranks = [_hash(seed, prompt) for prompt in prompts.prompts]
    order = sorted(range(len(prompts)), key=ranks.__getitem__)
    drawn = _draw(order, prompts.categories, count, seed)
    taken = set(drawn)
    left = [number for number in order if number not in taken]
    return PromptSplit(
        prompts,
        prompts.pick(drawn, f"{prompts.name}-calibration"),
        prompts.pick(_draw(left, prompts.categories, kept, seed), f"{prompts.name}-held-out"),
        seed,
    )


def check_split(split: PromptSplit, recorded: SplitRecord) -> None:
    """Make sure that the prompts are those that were recorded.

    Name and source may differ: a file can move, and its order does not matter.

    Raises:
        PromptError: the prompts differ; the message says in what.
    """
    now = split.record
    differing = [
        f"the {label} are {new}, recorded {old}"
        for label, new, old in (
            ("prompts for calibration", now.calibration, recorded.calibration),
            ("prompts held out", now.held_out, recorded.held_out),
        )
        if new != old
    ]
    if not differing:
        return
    if now.seed != recorded.seed:
        differing.append(f"the seed is {now.seed}, recorded {recorded.seed}")
    if now.whole != recorded.whole:
        differing.append(
            f"the whole set is {now.name!r} from {now.source}, {now.whole}, recorded {recorded.name!r} from "
            f"{recorded.source}, {recorded.whole}"
        )
    raise PromptError(
        f"The prompts are not those that were recorded: {'; '.join(differing)}. Give the recorded prompts, numbers and "
        "seed, or start anew."
    )


def _fingerprint(prompts: PromptSet) -> Fingerprint:
    return Fingerprint(size=len(prompts), digest=prompts.digest)


def _draw(order: Sequence[int], categories: Sequence[str | None], count: int, seed: int) -> list[int]:
    """The first of each category in an order, in that order."""
    strata: dict[str | None, list[int]] = {}
    for number in order:
        strata.setdefault(categories[number], []).append(number)
    sizes = {category: len(members) for category, members in strata.items()}
    shares = _largest_remainder(sizes, count, seed)
    chosen = {number for category, members in strata.items() for number in members[: shares[category]]}
    return [number for number in order if number in chosen]


def _largest_remainder(sizes: Mapping[str | None, int], count: int, seed: int) -> dict[str | None, int]:
    """Hamilton's apportionment of ``count`` to strata; where remainders are equal, a hash of the category decides."""
    total = sum(sizes.values())
    shares = {category: count * size // total for category, size in sizes.items()}
    ranked = sorted(
        sizes,
        key=lambda category: (-(count * sizes[category] % total), _hash(seed, "" if category is None else category)),
    )
    for category in ranked[: count - sum(shares.values())]:
        shares[category] += 1
    return shares


def _hash(seed: int, text: str) -> bytes:
    return hashlib.sha256(f"{seed}\0{text}".encode()).digest()


def _count(wanted: float, total: int, purpose: str) -> int:
    if isinstance(wanted, bool) or not isinstance(wanted, int | float):
        raise PromptError(f"{shown(wanted)} prompts for {purpose} were asked for; a number or a share is expected.")
    if isinstance(wanted, int):
        if wanted < 1:
            raise PromptError(f"{wanted} prompts for {purpose} were asked for; at least 1 is needed.")
        return wanted
    if not 0 < wanted < 1:
        raise PromptError(
            f"A share of {wanted} of the prompts for {purpose} was asked for; it must be between 0 and 1, or an "
            "integer for a number of prompts."
        )
    return max(1, int(wanted * total + 0.5))
