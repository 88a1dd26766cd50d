"""What a check of a study database reports."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Finding"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        kind: ``file``, ``study``, ``evaluation``, ``trial``, ``baseline``, ``generation``, ``confirmation`` or
            ``calibration``.
        text: what is wrong, in one sentence.
        study: of which study, if of one.
        trial: number of the trial, if it is about one.
    """

    kind: str
    text: str
    study: str | None = None
    trial: int | None = None

    def __post_init__(self) -> None:
        # Damaged texts are quoted, and may have line ends.
        object.__setattr__(self, "text", " ".join(self.text.split()))
