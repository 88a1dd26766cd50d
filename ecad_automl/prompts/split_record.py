"""How a split of prompts is recorded: enough to notice other prompts, not the prompts themselves."""

from __future__ import annotations

from collections.abc import Mapping
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

    @classmethod
    def of(cls, prompts: PromptSet) -> Self:
        """That of a set."""
        return cls(size=len(prompts), digest=prompts.digest)

    def __str__(self) -> str:
        return f"{self.size} ({self.digest[:12]})"


class SplitRecord(BaseModel):
    """What a database keeps of a split.

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
