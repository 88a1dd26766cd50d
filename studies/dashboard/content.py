"""What is shown of a study beside its trials, as plain data."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

_NAMESPACE = uuid.UUID("6a0f6b1e-3d0c-5a52-9d3a-0d0c6e5b7f11")


class Kind(StrEnum):
    """What a picture shows."""

    HEATMAP = "heatmap"
    GRID = "grid"


@dataclass(frozen=True)
class Artifact:
    """A PNG picture that lies in the folder of artifacts, in a file named by its id.

    Args:
        id: see :func:`artifact_id`.
        kind: what it shows.
        filename: what people see and save it as.
    """

    id: str
    kind: Kind
    filename: str


@dataclass(frozen=True)
class TrialContent:
    """What belongs to one trial.

    Args:
        number: of the trial.
        note: Markdown.
        artifacts: its pictures.
    """

    number: int
    note: str
    artifacts: tuple[Artifact, ...] = ()


@dataclass(frozen=True)
class StudyContent:
    """What belongs to a study.

    Args:
        note: Markdown.
        trials: those that have a note.
        figures: from an id, which is a valid HTML id, to the JSON of a plotly figure.
    """

    note: str
    trials: tuple[TrialContent, ...]
    figures: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TrialPictures:
    """The pictures of one trial.

    Args:
        address: of its pictures in the dashboard; their ids follow.
        grid: the picture of images that an earlier call has made; None where there is none.
    """

    address: str
    grid: Artifact | None = None


def artifact_id(*shown: str) -> str:
    """A UUID that stands for what a picture shows: the same for the same texts."""
    return str(uuid.uuid5(_NAMESPACE, "\0".join(shown)))
