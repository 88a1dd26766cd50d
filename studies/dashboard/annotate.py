"""Writes notes, pictures and plots of a finished or paused study where optuna-dashboard reads them.

Finished trials take no attributes, so all of it is kept in system attributes of the study, as optuna-dashboard does for
what is added in its own pages. The names of the keys are those of optuna-dashboard 0.21.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from optuna.storages import BaseStorage

from ecad_automl.errors import StudyError
from studies.interrupt import uninterrupted

#: Under this key stands which notes are ours, and as we wrote them: others are left alone.
_NOTES = "ecad-automl:dashboard_notes"
#: Before the id of the trial, a colon and the id of the picture.
_ARTIFACTS = "dashboard:artifacts:"
_MAKER = "ecad-automl"
_STUDY = "study"

Attributes = Mapping[str, Any]
_NAMESPACE = uuid.UUID("6a0f6b1e-3d0c-5a52-9d3a-0d0c6e5b7f11")


@dataclass(frozen=True)
class Changes:
    """What an annotation did.

    Args:
        notes: written.
        pictures: added.
        figures: written.
        removed: pictures of trials that are no longer told of, or that others replace.
        edited: notes left alone, because someone wrote or edited them in the dashboard.
    """

    notes: int
    pictures: int
    figures: int
    removed: int
    edited: int


def annotate(storage: BaseStorage, study: str, content: StudyContent, folder: Path) -> Changes:
    """Bring what the dashboard shows of a study to the given content; what is there already is not written again.

    Interrupted at any moment, it leaves pages that work, and the next call goes on.

    Args:
        storage: Optuna's, of the study database.
        study: its name.
        content: all that is to be shown. Of trials that it does not tell of, earlier notes and pictures are removed.
        folder: with the files of all pictures.

    Raises:
        StudyError: Optuna knows no study of this name.
    """
    try:
        study_id = storage.get_study_id_from_name(study)
    except KeyError as error:
        raise StudyError(f"Optuna's tables hold no study {study!r}; start its search again to mend them.") from error
    trials = {
        storage.get_trial_id_from_study_id_trial_number(study_id, trial.number): trial for trial in content.trials
    }
    before = storage.get_study_system_attrs(study_id)
    notes, edited = _notes(storage, study_id, before, content.note, trials)
    pictures, removed = _artifacts(storage, study_id, before, trials, folder)
    return Changes(notes, pictures, _figures(storage, study_id, before, content.figures), removed, edited)


def _notes(
    storage: BaseStorage, study_id: int, before: Attributes, study_note: str, trials: Mapping[int, TrialContent]
) -> tuple[int, int]:
    """How many were written, and how many left alone."""
    from optuna_dashboard._note import get_note_from_system_attrs, save_note_with_version

    known: dict[str, list[str]] = json.loads(before.get(_NOTES, "{}"))
    wanted = {_STUDY: study_note, **{str(trial_id): trial.note for trial_id, trial in trials.items()}}
    ours, writes, edited = {}, {}, 0
    for key in [*wanted, *(key for key in known if key not in wanted)]:
        note = get_note_from_system_attrs(before, _trial_id(key))
        there, body = str(note["body"]), wanted.get(key, "")
        if there != body and there and _digest(there) not in known.get(key, ()):
            edited += key in wanted
            continue
        if body:
            ours[key] = [_digest(body)]
        if there != body:
            writes[key] = int(note["version"]) + 1, body
    # Until all are written both the old and the new ones count as ours, so that an interruption does no harm.
    marks = {key: [*known.get(key, ()), *ours.get(key, ())] for key in writes}
    _mark(storage, study_id, before, {**ours, **marks})
    for key, (version, body) in writes.items():
        with uninterrupted():
            save_note_with_version(storage, study_id, _trial_id(key), version, body)
    if writes:
        _mark(storage, study_id, {}, ours)
    return sum(key in wanted for key in writes), edited


def _mark(storage: BaseStorage, study_id: int, before: Attributes, ours: Mapping[str, list[str]]) -> None:
    text = json.dumps(ours)
    if text != before.get(_NOTES, "{}"):
        storage.set_study_system_attr(study_id, _NOTES, text)


def _trial_id(key: str) -> int | None:
    return None if key == _STUDY else int(key)


def _artifacts(
    storage: BaseStorage, study_id: int, before: Attributes, trials: Mapping[int, TrialContent], folder: Path
) -> tuple[int, int]:
    """How many were added, and how many removed."""
    wanted = {
        f"{_ARTIFACTS}{trial_id}:{artifact.id}": _meta(artifact)
        for trial_id, trial in trials.items()
        for artifact in trial.artifacts
    }
    for key in (new := [key for key in wanted if before.get(key) != wanted[key]]):
        storage.set_study_system_attr(study_id, key, wanted[key])
    gone = 0
    for key, meta in _our_pictures(before):
        if key not in wanted:
            # Optuna deletes no attribute; this is how the dashboard marks one as deleted.
            storage.set_study_system_attr(study_id, key, json.dumps(None))
            with suppress(FileNotFoundError):
                (folder / str(meta["artifact_id"])).unlink()
            gone += 1
    return len(new), gone


def _figures(storage: BaseStorage, study_id: int, before: Attributes, figures: Mapping[str, str]) -> int:
    """How many were written."""
    from optuna_dashboard._custom_plot_data import get_plotly_graph_objects, save_graph_object_json

    there = get_plotly_graph_objects(dict(before))
    changed = {name: text for name, text in figures.items() if there.get(name) != text}
    for name, text in changed.items():
        with uninterrupted():
            save_graph_object_json(storage, study_id, f"dashboard:plot_data:{name}:", text)
    return len(changed)


def _our_pictures(attributes: Attributes) -> Iterator[tuple[str, dict[str, Any]]]:
    """Key and description of each picture that was made here, among the system attributes of a study."""
    for key, value in attributes.items():
        if key.startswith(_ARTIFACTS):
            meta = json.loads(value)
            if meta is not None and meta.get("made_by") == _MAKER:
                yield key, meta


def trial_pictures(storage: BaseStorage, study: str, numbers: Iterable[int]) -> dict[int, TrialPictures]:
    """Pictures of some trials by their number.

    Raises:
        KeyError: Optuna knows no such study or trial.
    """
    study_id = storage.get_study_id_from_name(study)
    grids = {
        int(name.removeprefix(_ARTIFACTS).partition(":")[0]): Artifact(meta["artifact_id"], Kind.GRID, meta["filename"])
        for name, meta in _our_pictures(storage.get_study_system_attrs(study_id))
        if meta.get("kind") == Kind.GRID
    }
    found = {}
    for number in numbers:
        trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, number)
        found[number] = TrialPictures(f"/artifacts/{study_id}/{trial_id}/", grids.get(trial_id))
    return found


def _meta(artifact: Artifact) -> str:
    return json.dumps(
        {
            "artifact_id": artifact.id,
            "filename": artifact.filename,
            "mimetype": "image/png",
            "encoding": None,
            "kind": artifact.kind,
            "made_by": _MAKER,
        }
    )


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


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
