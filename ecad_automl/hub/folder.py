"""Files of a shared folder: their names, and that a path in a document stays in its folder."""

from __future__ import annotations

import os
from pathlib import Path

from ecad_automl.errors import FileError

#: The one schedule of a folder or repository.
SCHEDULE = "schedule.json"

#: The list of several.
INDEX = "index.json"

#: Names of Windows' devices, whatever their suffix.
_DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{port}{number}" for port in ("COM", "LPT") for number in "123456789¹²³")}

_LONGEST = 1024


def schedule_paths(folder: Path) -> list[Path]:
    """The schedule files of a folder in the order of their names: all ``.json`` files but the index."""
    return sorted(path for path in folder.glob("*.json") if path.name != INDEX)


def is_plain(name: str) -> bool:
    """Whether a name is that of a ``.json`` file in a folder or below it, on any system."""
    parts = name.split("/")
    return (
        name.endswith(".json")
        and len(name) <= _LONGEST
        and not any(part in ("", ".", "..") for part in parts)
        and not any(part.partition(".")[0].rstrip().upper() in _DEVICES or part[-1] in ". " for part in parts)
        and not set(name) & set('\\:*?"<>|')
        and name.isprintable()
    )


def inside(folder: Path, name: str) -> Path:
    """The path of a file that a document names, which must lie in the document's folder.

    Links may not lead out of the folder. Snapshots of the hub's cache hold links to the ``blobs`` beside them; these
    are allowed.

    Args:
        folder: of the document.
        name: relative path with ``/``.

    Raises:
        FileError: it leads elsewhere.
    """
    path = folder / name
    if is_plain(name):
        real, home = Path(os.path.realpath(path)), Path(os.path.realpath(folder))
        blobs = home.parent.parent / "blobs"
        if real.is_relative_to(home) or (home.parent.name == "snapshots" and real.parent == blobs):
            return path
    raise FileError(f"{name!r} is no file in the folder {folder}; an index names .json files beside it or below it.")


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, where they are missing.

    Raises:
        FileError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise FileError(f"The folder {str(folder)!r} cannot be made ({reason}); name another one.") from error
