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

    try:
        return Path(hf_hub_download(repository, name, repo_type=kind, revision=revision))
    except (OSError, ValueError, EntryNotFoundError, HfHubHTTPError) as error:
        reason = " ".join(str(error).split())[:300].rstrip(".")
        raise HubError(
            f"The file {name} of {repository!r} (revision {revision or 'main'}) cannot be had from the hub ({reason}); "
            "check its name and the connection, or download it elsewhere and name that file or its folder."
        ) from error
