"""The Hugging Face hub: fetching a file, and sending a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ecad_automl.errors import HubError
from ecad_automl.schedules.schedule_file import MAX_SCHEDULE_BYTES
from ecad_automl.sharing.card_file import replaceable
from ecad_automl.sharing.files import CARD

__all__ = ["commit_of", "fetch_first", "push_folder"]


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

    failures: tuple[type[Exception], ...] = (*_failures(), EntryNotFoundError)
    missing: Exception | None = None
    for name in names:
        try:
            return _fetch(repo, name, revision)
        except failures as error:
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


def push_folder(
    folder: Path,
    repo: str,
    *,
    private: bool | None,
    revision: str | None,
    message: str,
    create_pr: bool,
    token: str | bool | None,
    replace_card: bool | None,
) -> str:
    """Send all files of a folder to a model repository, which is made where it does not exist.

    Args:
        folder: what to send.
        repo: ``owner/name``, or ``name`` for one of the user's own.
        private: whether only the owner may see the repository; None leaves it to the hub.
        revision: branch; None is the default one.
        message: of the commit.
        create_pr: open a pull request in place of a commit.
        token: of the hub; None is the one that the user logged in with.
        replace_card: whether a card that a person wrote or edited is replaced; with None that is an error.

    Returns:
        Address of the commit or pull request.

    Raises:
        HubError: the hub cannot be reached or refuses it, the repository is public though ``private`` is asked
            for, or its card was written by a person.
    """
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    try:
        full = api.create_repo(repo, private=private, exist_ok=True).repo_id
        if private and not api.repo_info(full).private:
            raise HubError(f"The repository {full!r} exists and is public; make it private, or leave private out.")
        if (folder / CARD).exists() and not replace_card:
            _keep_written_card(api, full, revision)
        info = api.upload_folder(
            repo_id=full, folder_path=folder, commit_message=message, revision=revision, create_pr=create_pr
        )
    except _failures() as error:
        raise HubError(
            f"Nothing was pushed to {repo!r} ({_reason(error)}); check its name, `hf auth login` and the connection "
            "to the hub."
        ) from error
    return str(info.pr_url or info.commit_url)


def _keep_written_card(api: Any, repo: str, revision: str | None) -> None:
    if api.file_exists(repo, CARD, revision=revision):
        text = Path(api.hf_hub_download(repo, CARD, revision=revision)).read_text(encoding="utf-8", errors="replace")
        if not replaceable(text):
            raise HubError(
                f"The {CARD} of {repo!r} was written or edited by a person; leave the card out (--no-card, in Python "
                "card=False, or card=True to replace it)."
            )


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
    except _failures() as error:
        # The hub is out of reach or busy; what was fetched before serves.
        try:
            return Path(hf_hub_download(repo, name, revision=revision, local_files_only=True))
        except LocalEntryNotFoundError:
            raise LocalEntryNotFoundError(f"{_reason(error)}, nor is it in the local cache") from error
    if size is not None and size > MAX_SCHEDULE_BYTES:
        raise HubError(
            f"The file {name!r} of {repo!r} has {size} bytes, but schedules and their index have at most "
            f"{MAX_SCHEDULE_BYTES}; it is not downloaded."
        )
    return Path(hf_hub_download(repo, name, revision=revision))


def _failures() -> tuple[type[Exception], ...]:
    """What the hub's library raises where the hub cannot be reached, or refuses."""
    from huggingface_hub.errors import HfHubHTTPError

    # Which package makes its connections differs between versions; its errors are the bases of this one.
    return OSError, ValueError, *HfHubHTTPError.__bases__


def _not_fetched(repo: str, names: Sequence[str], revision: str | None, error: Exception) -> HubError:
    at = "" if revision is None else f" at {revision!r}"
    return HubError(
        f"There is no file or folder {repo!r} here, and no {' or '.join(names)} could be had from the repository of "
        f"that name on the hub{at} ({_reason(error)}); check the name and the connection, or download the repository "
        "and give its folder."
    )


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:300].rstrip(".")
