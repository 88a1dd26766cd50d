"""Models as settings of a search: files in the form of ``search --config``.

But for Qwen-Image they are of ECAD's paper (arXiv 2506.15682). Those that end with ``-paper`` have the paper's budget
too; the others have one that this search needs.
"""

from __future__ import annotations

from pathlib import Path

from ecad_automl.errors import StudyError

__all__ = ["preset_names", "preset_path"]

_FOLDER = Path(__file__).parent


def preset_names() -> tuple[str, ...]:
    """All presets."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


def preset_path(name: str) -> Path:
    """The file of a preset.

    Raises:
        StudyError: there is no such preset.
    """
    if name not in preset_names():
        raise StudyError(f"There is no preset {name!r}; choose one of {', '.join(preset_names())}.")
    return _FOLDER / f"{name}.toml"
