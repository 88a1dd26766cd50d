"""The model of a study, loaded again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ecad_automl.errors import StudyError
from ecad_automl.views.study import StudyView

if TYPE_CHECKING:
    from ecad_automl.models import LoadedModel

__all__ = ["load_again", "load_study_model"]


def load_again(identity: Mapping[str, Any], moved: str | None, device: str | None) -> LoadedModel:
    """What a study says it was searched with, called as it was there; whether it still is that is not checked.

    Args:
        identity: of the study.
        moved: where the model lies now, if it was moved.
        device: torch device.

    Raises:
        UnsupportedModelError: it cannot be loaded.
    """
    from ecad_automl.models import load_model

    revision = str(identity["revision"])
    loaded = load_model(
        moved or identity["model"],
        # That of a folder is a hash, by which it is known but not found.
        revision=None if revision.startswith("folder-") else revision,
        dtype=identity["dtype"],
        device=device,
    )
    return loaded.with_scheduler(identity["scheduler"]).with_settings(**identity["generation"])


def load_study_model(study: StudyView, moved: str | None, device: str | None) -> LoadedModel:
    """The model of a study, and no other.

    Raises:
        UnsupportedModelError: it cannot be loaded.
        StudyError: the model is another one by now.
    """
    loaded = load_again(study.identity, moved, device)
    revision = str(study.identity["revision"])
    if loaded.revision != revision:
        raise StudyError(
            f"The model {loaded.name!r} has the revision {loaded.revision}, but the study {study.name!r} searched "
            f"{revision}; name the model of the study with --model."
        )
    return loaded
