"""The Hugging Face hub: fetching a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ecad_automl.errors import HubError
from ecad_automl.schedules.schedule_file import MAX_SCHEDULE_BYTES


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
