"""How a split of prompts is recorded: enough to notice other prompts, not the prompts themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self, TypeVar

from ecad_automl.errors import PromptError
from ecad_automl.prompts.prompt_set import PromptSet, shown

__all__ = ["Fingerprint", "SplitRecord"]

_T = TypeVar("_T")


@dataclass(frozen=True)
class Fingerprint:
    """What tells prompts from others.

    Args:
        size: number of prompts.
        digest: see :attr:`PromptSet.digest`.
    """

    size: int
    digest: str

    @classmethod
    def of(cls, prompts: PromptSet) -> Self:
        """That of a set."""
        return cls(len(prompts), prompts.digest)

    def __str__(self) -> str:
        return f"{self.size} ({self.digest[:12]})"

    def to_dict(self) -> dict[str, object]:
        """As JSON holds it."""
        return {"size": self.size, "digest": self.digest}

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> Self:
        """What :meth:`to_dict` gave."""
        return cls(_field(data, "size", int), _field(data, "digest", str))


@dataclass(frozen=True)
class SplitRecord:
    """What a database keeps of a split.

    Args:
        name: of the set that was split.
        source: of the set that was split.
        seed: what the split was drawn with.
        whole: the set that was split.
        calibration: the prompts for calibration.
        held_out: the prompts held out.
    """

    name: str
    source: str
    seed: int
    whole: Fingerprint
    calibration: Fingerprint
    held_out: Fingerprint

    def to_dict(self) -> dict[str, object]:
        """As JSON holds it."""
        return {
            "name": self.name,
            "source": self.source,
            "seed": self.seed,
            "whole": self.whole.to_dict(),
            "calibration": self.calibration.to_dict(),
            "held_out": self.held_out.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> Self:
        """What :meth:`to_dict` gave.

        Raises:
            PromptError: something is missing or of another type.
        """
        return cls(
            name=_field(data, "name", str),
            source=_field(data, "source", str),
            seed=_field(data, "seed", int),
            whole=Fingerprint.from_dict(_field(data, "whole", dict)),
            calibration=Fingerprint.from_dict(_field(data, "calibration", dict)),
            held_out=Fingerprint.from_dict(_field(data, "held_out", dict)),
        )


def _field(data: Mapping[str, object], key: str, kind: type[_T]) -> _T:
    value = data.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise PromptError(
            f"The record of the prompt split has {shown(value)} as {key!r}, but {kind.__name__} is expected; it is "
            "damaged."
        )
    return value
