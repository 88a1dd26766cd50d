"""The errors that users see: each message names the value, what was expected and what to do."""

from __future__ import annotations


class EcadError(Exception):
    """Base of all errors of this project; the command line prints them as one sentence and exits with 2."""


class OptionError(EcadError, ValueError):
    """An option or argument has a value that cannot be used, alone or together with others."""


class FileError(EcadError):
    """A file or folder cannot be read or written, or does not hold what it should."""


class HubError(EcadError):
    """The Hugging Face hub cannot be reached, does not have what is asked for, or refuses what is sent."""


class ScheduleError(EcadError):
    """A schedule, layout or drift is malformed, or does not fit where it is used."""


class UnsupportedModelError(EcadError):
    """A model is unknown, incomplete, or has a transformer that cannot be cached correctly."""


class CacheStateError(EcadError):
    """A pipeline is run under a schedule in a way that would mix up cached activations."""


class PromptError(EcadError):
    """Prompts are missing, empty, repeated or not those that were recorded, or a reward cannot judge one."""


class RewardError(EcadError):
    """A reward is unknown, its weights cannot be used, or it did not return one finite number per image."""


class EvaluationError(EcadError):
    """Images could not be generated or scored as asked."""


class DeviceMemoryError(EcadError):
    """The device, or the machine, has too little memory for what was asked."""


class StudyError(EcadError, ValueError):
    """A study cannot be started or resumed as asked; a ``ValueError`` too, as Optuna asks of samplers."""


class StorageError(EcadError):
    """The study database cannot be reached, read, written or understood."""


class NoAdapterWarning(UserWarning):
    """A transformer class is not known; its slots were found by the names and classes of its modules."""
