"""Where checkpoint and configuration are: in a folder, or in a repository of the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from ecad_automl.errors import RewardError
from ecad_automl.files.hub_file import hub_file
from ecad_automl.files.paths import expand_home

_WEIGHTS = ("ImageReward.safetensors", "ImageReward.pt")
_MED_CONFIG = "med_config.json"


def find_files(name: str | Path, revision: str | None) -> tuple[Path, Path]:
    """Paths of the checkpoint and of ``med_config.json``.

    Args:
        name: a folder that holds ``ImageReward.pt``, or ``ImageReward.safetensors``, which is preferred; else a hub id.
        revision: branch, tag or commit on the hub; of no use with a folder.

    Raises:
        RewardError: the folder lacks a file.
        HubError: the hub cannot be reached and has nothing in the cache, or knows no such repository or revision.
    """
    folder = expand_home(name)
    if folder.is_dir():
        if revision is not None:
            raise RewardError(f"{folder} is a folder, which has no revision {revision!r}; leave the revision out.")
        return _in_folder(folder)
    if str(name).startswith((".", "/", "~")) or str(name).count("/") != 1:
        raise RewardError(
            f"{str(name)!r} is neither a folder with ImageReward.pt and med_config.json nor a hub id like "
            "'zai-org/ImageReward'."
        )
    return hub_file(str(name), _WEIGHTS[-1], revision), hub_file(str(name), _MED_CONFIG, revision)


def _in_folder(folder: Path) -> tuple[Path, Path]:
    weights = [folder / file for file in _WEIGHTS if (folder / file).is_file()]
    if not weights:
        raise RewardError(f"The folder {folder} has no ImageReward.pt; put it there, or name the folder that has it.")
    config = folder / _MED_CONFIG
    if not config.is_file():
        raise RewardError(f"The folder {folder} has no med_config.json, which lies beside ImageReward.pt on the hub.")
    return weights[0], config
