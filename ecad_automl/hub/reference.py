"""Names of shared schedules: ``owner/name`` of the hub, with a file and a revision."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from ecad_automl.errors import HubError, OptionError
from ecad_automl.hub.folder import is_plain

_PART = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_REVISION = re.compile(r"[^\s\\:*?\"<>|~^\0-\x1f\x7f]{1,255}")
_REFERENCE = re.compile(rf"(?P<repo>{_PART}/{_PART})(?:/(?P<file>[^@\\\0]+\.json))?(?:@(?P<revision>[^@\s]+))?")


@dataclass(frozen=True)
class HubReference:
    """Where schedules lie on the hub.

    Args:
        repo: ``owner/name`` of a model repository.
        file: a schedule file in it; None where the repository holds one schedule.
        revision: branch, tag or commit; None is the default branch.
    """

    repo: str
    file: str | None = None
    revision: str | None = None

    def __str__(self) -> str:
        file = "" if self.file is None else f"/{self.file}"
        return self.repo + file + ("" if self.revision is None else f"@{self.revision}")


def parse_reference(text: str) -> HubReference | None:
    """``owner/name``, ``owner/name@revision``, ``owner/name/file.json`` or ``owner/name/file.json@revision``.

    Returns:
        None where the text is none of these; ``folder/file.json`` is a path.
    """
    found = _REFERENCE.fullmatch(text)
    if found is None or (found["file"] is None and found["repo"].endswith(".json")):
        return None
    if found["file"] is not None and not is_plain(found["file"]):
        return None
    if found["revision"] is not None and not _is_revision(found["revision"]):
        return None
    return HubReference(found["repo"], found["file"], found["revision"])


def local_path(name: str | Path) -> Path | None:
    """The path that a name means, there or not; None where it means something on the hub.

    Paths win: what exists is local, and so is a missing file of an existing folder.
    """
    path = Path(name)
    if isinstance(name, Path) or _exists(path):
        return path
    reference = parse_reference(name)
    if reference is None or (reference.file is not None and _exists(Path(reference.repo))):
        return path
    return None


def place_of(name: str | Path, revision: str | None, filename: str | None = None) -> Path | HubReference:
    """The path that a name means, or the place on the hub that it and the arguments mean together.

    Raises:
        HubError: see :func:`reference_of`.
        OptionError: see :func:`reference_of`; or a revision is given beside a path.
    """
    path = local_path(name)
    if path is None:
        return reference_of(str(name), revision, filename)
    if revision is not None:
        raise OptionError(f"{name} is a path, which has no revision; leave out revision={revision!r}.")
    return path


def reference_of(name: str, revision: str | None, filename: str | None) -> HubReference:
    """The place on the hub that a name and arguments mean together.

    Args:
        name: see :func:`parse_reference`.
        revision: branch, tag or commit, where the name has none.
        filename: a file of the repository, where the name has none.

    Raises:
        HubError: the name is none of the hub.
        OptionError: it says something else than the arguments, or these cannot be.
    """
    reference = parse_reference(name)
    if reference is None:
        raise HubError(
            f"{name!r:.200} is neither an existing file or folder nor a repository of the hub; give a path, "
            "'owner/name', 'owner/name@revision' or 'owner/name/file.json'."
        )
    if revision is not None and not _is_revision(revision):
        raise OptionError(f"{revision!r:.80} is no revision; give a branch, a tag or a commit.")
    if filename is not None and not is_plain(filename):
        raise OptionError(f"{filename!r:.80} is no file of a shared folder; give a relative path such as 'a.json'.")
    for told, given, what in ((reference.revision, revision, "revision"), (reference.file, filename, "filename")):
        if told is not None and given is not None and told != given:
            raise OptionError(
                f"{name!r:.200} names {told!r:.200}, but {what} is {given!r:.200}; give only one of them."
            )
    return replace(reference, revision=reference.revision or revision, file=reference.file or filename)


def _is_revision(text: str) -> bool:
    """Whether git could have it; the local cache keeps revisions as paths."""
    parts = text.split("/")
    return _REVISION.fullmatch(text) is not None and not any(part in ("", ".", "..") for part in parts)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name too long for a path, or with a null character
        return False
