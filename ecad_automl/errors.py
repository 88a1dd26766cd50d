"""The errors that users see: each message names the value, what was expected and what to do."""

from __future__ import annotations

__all__ = [
    "CacheStateError",
    "EcadError",
    "EvaluationError",
    "NoAdapterWarning",
    "PromptError",
    "RewardError",
    "ScheduleError",
    "StorageError",
    "StudyError",
    "UnsupportedModelError",
]


class EcadError(Exception):
    """Base of all errors of this project; the command line prints them as one sentence and exits with 2."""


class ScheduleError(EcadError):
    """A schedule, layout or schedule file is malformed or does not fit where it is used."""


class UnsupportedModelError(EcadError):
    """A model is unknown, incomplete, or has a transformer that cannot be cached correctly."""


class CacheStateError(EcadError):
    """A pipeline is run under a schedule in a way that would mix up cached activations."""


class PromptError(EcadError):
    """A prompt list is empty or repeats itself, or a reward cannot judge a prompt."""


class RewardError(EcadError):
    """A reward is unknown or returned something other than one finite number per image."""


class EvaluationError(EcadError):
    """Images could not be generated or scored as asked."""


class StudyError(EcadError):
    """A study cannot be started or resumed as asked."""


class StorageError(EcadError):
    """The study database cannot be reached, read, written or understood."""


class NoAdapterWarning(UserWarning):
    """A transformer class is not known; its slots were found by the names and classes of its modules."""
