"""Paths: below a home folder, and of files of the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from ecad_automl.errors import HubError


def expand_home(path: str | Path) -> Path:
    """A path whose leading ``~`` or ``~user`` is that folder; where nobody has that name, the path as it is."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def is_gated(error: BaseException | None) -> bool:
    """Whether a repository of the hub was refused because its licence was not accepted, or nobody is logged in."""
    from huggingface_hub.errors import GatedRepoError

    while error is not None:
        if isinstance(error, GatedRepoError):
            return True
        error = error.__cause__ or error.__context__
    return False


def gated_text(what: str, page: str) -> str:
    """What to do about it.

    Args:
        what: cannot be had, such as ``The model 'owner/name'``.
        page: where its licence is.
    """
    return (
        f"{what} is gated: accept its licence on {page} while logged in there, and log in on this machine with "
        "`hf auth login`."
    )


def hub_file(repository: str, name: str, revision: str | None = None, *, kind: str = "model") -> Path:
    """Where a file of a repository lies in the local cache, downloaded if need be.

    Args:
        repository: ``owner/name``.
        name: of the file in it.
        revision: branch, tag or commit; None is the default branch.
        kind: "model" or "dataset".

    Raises:
        HubError: the hub cannot be reached and the file is not in the cache, or there is no such file, repository or
            revision.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    page = f"https://huggingface.co/{'datasets/' if kind == 'dataset' else ''}{repository}"
    try:
        return Path(hf_hub_download(repository, name, repo_type=kind, revision=revision))
    except (OSError, ValueError, EntryNotFoundError, HfHubHTTPError) as error:
        if is_gated(error):
            raise HubError(gated_text(f"The {kind} {repository!r}", page)) from error
        reason = " ".join(str(error).split())[:300].rstrip(".")
        raise HubError(
            f"The file {name} of {repository!r} (revision {revision or 'main'}) cannot be had from the hub ({reason}); "
            "check its name and the connection, or download it elsewhere and name that file or its folder."
        ) from error
