"""Names of the hub, and fetching the files that they name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ecad_automl.errors import HubError, OptionError
from ecad_automl.hub.folder import is_plain
from ecad_automl.schedules.schedule_file import MAX_SCHEDULE_BYTES

_PART = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_REVISION = re.compile(r"[^\s\\:*?\"<>|~^\0-\x1f\x7f]{1,255}")
_REFERENCE = re.compile(rf"(?P<repo>{_PART}/{_PART})(?:/(?P<file>[^@\\\0]+\.json))?(?:@(?P<revision>[^@\s]+))?")


def fetch_first(repo: str, names: Sequence[str], revision: str | None) -> Path:
    """The first of some files that a model repository has, from the local cache where it is there.

    Args:
        repo: ``owner/name``.
        names: files in the repository.
        revision: branch, tag or commit; None is the default branch.

    Raises:
        HubError: the repository has none of them, cannot be reached, or the file is too large.
    """
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    expected: tuple[type[Exception], ...] = (*failures(), EntryNotFoundError)
    missing: Exception | None = None
    for name in names:
        try:
            return _fetch(repo, name, revision)
        except expected as error:
            if not isinstance(error, EntryNotFoundError):
                raise _not_fetched(repo, names, revision, error) from error
            # A file that is not in the cache says more than one that the repository does not have.
            if missing is None or isinstance(error, LocalEntryNotFoundError):
                missing = error
    assert missing is not None
    raise _not_fetched(repo, names, revision, missing) from missing


def commit_of(path: Path, name: str) -> str:
    """The commit of a fetched file: the cache keeps files in folders named after commits."""
    return path.parents[name.count("/")].name


def _fetch(repo: str, name: str, revision: str | None) -> Path:
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import (
        EntryNotFoundError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        size = get_hf_file_metadata(hf_hub_url(repo, name, revision=revision)).size
    except (EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError):
        raise
    except failures() as error:
        # The hub is out of reach or busy; what was fetched before serves.
        try:
            return Path(hf_hub_download(repo, name, revision=revision, local_files_only=True))
        except LocalEntryNotFoundError:
            raise LocalEntryNotFoundError(f"{reason_of(error)}, nor is it in the local cache") from error
    if size is not None and size > MAX_SCHEDULE_BYTES:
        raise HubError(
            f"The file {name!r} of {repo!r} has {size} bytes, but schedules and their index have at most "
            f"{MAX_SCHEDULE_BYTES}; it is not downloaded."
        )
    return Path(hf_hub_download(repo, name, revision=revision))


def failures() -> tuple[type[Exception], ...]:
    """What the hub's library raises where the hub cannot be reached, or refuses."""
    from huggingface_hub.errors import HfHubHTTPError

    # Which package makes its connections differs between versions; its errors are the bases of this one.
    return OSError, ValueError, *HfHubHTTPError.__bases__


def _not_fetched(repo: str, names: Sequence[str], revision: str | None, error: Exception) -> HubError:
    at = "" if revision is None else f" at {revision!r}"
    return HubError(
        f"There is no file or folder {repo!r} here, and no {' or '.join(names)} could be had from the repository of "
        f"that name on the hub{at} ({reason_of(error)}); check the name and the connection, or download the repository "
        "and give its folder."
    )


def reason_of(error: Exception) -> str:
    """What an error of the hub's library says, in one line of some length."""
    return " ".join(str(error).split())[:300].rstrip(".")


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
