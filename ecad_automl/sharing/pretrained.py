"""Schedules as folders and repositories of the hub: saving and pushing them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict, Unpack

from ecad_automl.errors import HubError, OptionError
from ecad_automl.hub import SCHEDULE, make_folder, parse_reference, save_schedules
from ecad_automl.hub.fetching import failures, reason_of
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.schedules.schedule_file import ScheduleFile, ScheduleMetadata, save_schedule, software_versions
from ecad_automl.sharing.card import CARD, check_card, collection_card, replaceable, schedule_card, write_card
from ecad_automl.sharing.snippet import PROMPT


def save_pretrained(
    folder: str | Path,
    schedule: Schedule,
    metadata: ScheduleMetadata | None = None,
    *,
    card: bool | None = None,
    license: str | None = None,  # noqa: A002 - as on the hub
    source: str | None = None,
    prompt: str = PROMPT,
) -> Path:
    """Write a schedule as a folder that can be shared: ``schedule.json`` and a model card, ``README.md``.

    Args:
        folder: made where it does not exist.
        schedule: the schedule.
        metadata: what it was found for and what was measured; the card is written from it. Where it has no versions,
            those of the installed packages are added.
        card: True writes a card in any case, False writes none. By default one is written unless a person wrote or
            edited the one that is there, which is an error.
        license: for the card's front matter; the card has none by default.
        source: what the card tells readers to give ``apply_schedule``; by default the folder.
        prompt: of the image in the card's example.

    Returns:
        The schedule file.

    Raises:
        FileError: something cannot be written, or would replace what a person wrote.
    """
    folder = Path(folder)
    file = _with_versions(schedule, metadata)
    if card is not False:
        check_card(folder, card)
    make_folder(folder)
    save_schedule(folder / SCHEDULE, file.schedule, file.metadata)
    if card is not False:
        write_card(folder, schedule_card(file, source or str(folder), license, prompt=prompt), card)
    return folder / SCHEDULE


def push_schedule(
    repo_id: str,
    schedule: Schedule,
    metadata: ScheduleMetadata | None = None,
    *,
    card: bool | None = None,
    license: str | None = None,  # noqa: A002 - as on the hub
    prompt: str = PROMPT,
    **options: Unpack[PushOptions],
) -> str:
    """Send a schedule and its card to a model repository of the hub, which is made where it does not exist.

    Args:
        repo_id: ``owner/name``.
        schedule: the schedule.
        metadata: see :func:`save_pretrained`.
        card: see :func:`save_pretrained`; the card in the repository counts.
        license: see :func:`save_pretrained`.
        prompt: see :func:`save_pretrained`.
        options: ``private``, ``revision``, ``commit_message``, ``create_pr`` and ``token``; see :class:`PushOptions`.

    Returns:
        Address of the commit or pull request.

    Raises:
        HubError: the hub cannot be reached or refuses it, or something would be lost or shown that was not asked for:
            a card that a person wrote, or what ``private`` would hide in a repository that is public.
        OptionError: this is no name of a repository.
    """
    _check_target(repo_id)
    with tempfile.TemporaryDirectory() as folder:
        save_pretrained(folder, schedule, metadata, card=card, license=license, source=repo_id, prompt=prompt)
        options = {"commit_message": "Schedule and card", **options}
        return push_folder(Path(folder), repo_id, replace_card=card, **options)


def push_schedules(
    repo_id: str,
    files: Mapping[str, ScheduleFile],
    *,
    card: bool | None = None,
    license: str | None = None,  # noqa: A002 - as on the hub
    prompt: str = PROMPT,
    **options: Unpack[PushOptions],
) -> str:
    """Send several schedules with their index and card to a model repository of the hub.

    Args:
        repo_id: ``owner/name``.
        files: see :func:`~ecad_automl.hub.save_schedules`.
        card: see :func:`push_schedule`, as for all further arguments.
        license: for the card.
        prompt: of the image in the card's example.
        options: for the hub.

    Returns:
        Address of the commit or pull request.

    Raises:
        FileError: see :func:`~ecad_automl.hub.save_schedules`.
        HubError: see :func:`push_schedule`.
    """
    _check_target(repo_id)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        save_schedules(folder, files)
        if card is not False:
            write_card(folder, collection_card(files, repo_id, license, prompt=prompt), card)
        options = {"commit_message": f"{len(files)} schedules, index and card", **options}
        return push_folder(folder, repo_id, replace_card=card, **options)


def _with_versions(schedule: Schedule, metadata: ScheduleMetadata | None) -> ScheduleFile:
    metadata = metadata or ScheduleMetadata()
    if not metadata.versions:
        metadata = metadata.model_copy(update={"versions": software_versions()})
    return ScheduleFile(schedule, metadata)


def _check_target(repo_id: str) -> None:
    reference = parse_reference(repo_id)
    if reference is None or reference.file is not None or reference.revision is not None:
        raise OptionError(f"{repo_id!r} is no repository to push to; give one as 'owner/name'.")


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
