"""Sending a folder to the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict, Unpack

from ecad_automl.errors import HubError
from ecad_automl.hub.fetching import failures, reason_of
from ecad_automl.sharing.card_file import CARD, replaceable


class PushOptions(TypedDict, total=False):
    """How something is sent to the hub.

    Attributes:
        private: whether only the owner may see the repository; by default as the hub has it.
        revision: branch; the default one if None.
        commit_message: of the commit.
        create_pr: open a pull request in place of a commit.
        token: of the hub; by default the one that the user logged in with.
    """

    private: bool | None
    revision: str | None
    commit_message: str
    create_pr: bool
    token: str | bool | None


def push_folder(folder: Path, repo: str, *, replace_card: bool | None, **options: Unpack[PushOptions]) -> str:
    """Send all files of a folder to a model repository, which is made where it does not exist.

    Args:
        folder: what to send.
        repo: ``owner/name``, or ``name`` for one of the user's own.
        replace_card: whether a card that a person wrote or edited is replaced; with None that is an error.
        options: see :class:`PushOptions`.

    Returns:
        Address of the commit or pull request.

    Raises:
        HubError: the hub cannot be reached or refuses it, the repository is public though ``private`` is asked for, or
            its card was written by a person.
    """
    from huggingface_hub import HfApi

    private, revision = options.get("private"), options.get("revision")
    api = HfApi(token=options.get("token"))
    try:
        full = api.create_repo(repo, private=private, exist_ok=True).repo_id
        if private and not api.repo_info(full).private:
            raise HubError(f"The repository {full!r} exists and is public; make it private, or leave private out.")
        if (folder / CARD).exists() and not replace_card:
            _keep_written_card(api, full, revision)
        info = api.upload_folder(
            repo_id=full,
            folder_path=folder,
            commit_message=options.get("commit_message"),
            revision=revision,
            create_pr=options.get("create_pr", False),
        )
    except failures() as error:
        raise HubError(
            f"Nothing was pushed to {repo!r} ({reason_of(error)}); check its name, `hf auth login` and the connection "
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
