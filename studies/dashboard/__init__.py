"""A study in optuna-dashboard: notes, pictures and plots beside its trials. Gets plain data; knows no torch."""

from studies.dashboard.annotate import (
    Artifact,
    Changes,
    Kind,
    StudyContent,
    TrialContent,
    TrialPictures,
    annotate,
    artifact_id,
    trial_pictures,
)
from studies.dashboard.serve import artifact_folder, listen

__all__ = [
    "Artifact",
    "Changes",
    "Kind",
    "StudyContent",
    "TrialContent",
    "TrialPictures",
    "annotate",
    "artifact_folder",
    "artifact_id",
    "listen",
    "trial_pictures",
]
