"""Schedules as folders and repositories of the hub: saving, loading and pushing them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from ecad_automl.errors import FileError, OptionError
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.schedules.schedule_file import (
    ScheduleFile,
    ScheduleMetadata,
    load_schedule,
    save_schedule,
    software_versions,
)
from ecad_automl.sharing.card import collection_card, schedule_card
from ecad_automl.sharing.card_file import check_card, write_card
from ecad_automl.sharing.files import INDEX, SCHEDULE, inside, is_plain, make_folder
from ecad_automl.sharing.hub import fetch_first, push_folder
from ecad_automl.sharing.index import ScheduleIndex, fetched_index, read_index, save_schedules
from ecad_automl.sharing.reference import local_path, parse_reference, reference_of

__all__ = ["load_pretrained", "push_schedule", "push_schedules", "save_pretrained"]


def save_pretrained(
    folder: str | Path,
    schedule: Schedule,
    metadata: ScheduleMetadata | None = None,
    *,
    card: bool | None = None,
    license: str | None = None,  # noqa: A002 - as on the hub
    source: str | None = None,
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
        write_card(folder, schedule_card(file, source or str(folder), license), card)
    return folder / SCHEDULE


def load_pretrained(
    name_or_path: str | Path, *, revision: str | None = None, filename: str | None = None
) -> ScheduleFile:
    """Read a shared schedule: of a file, a folder, or a model repository of the hub.

    Paths win over names of the hub. Without a file name, a folder or repository gives its ``schedule.json``, or else
    the one schedule of its index.

    Args:
        name_or_path: a schedule file, a folder, or ``owner/name``, ``owner/name@revision``, ``owner/name/file.json``.
        revision: branch, tag or commit on the hub.
        filename: a file in the folder or repository.

    Raises:
        FileError: there is no such schedule here, or it cannot be read.
        HubError: it cannot be fetched.
        OptionError: there are several, or the arguments do not go together.
    """
    path = local_path(name_or_path)
    if filename is not None and not is_plain(filename):
        raise OptionError(f"{filename!r} is no file of a shared folder; give a relative path such as 'a.json'.")
    if path is not None:
        if revision is not None:
            raise OptionError(f"{name_or_path} is a path, which has no revision; leave out revision={revision!r}.")
        return _load_local(path, filename)
    reference = reference_of(str(name_or_path), revision, filename)
    names = [SCHEDULE, INDEX] if reference.file is None else [reference.file]
    found = fetch_first(reference.repo, names, reference.revision)
    if reference.file is None and found.name == INDEX:
        return _only(fetched_index(reference.repo, found))
    return load_schedule(found)


def push_schedule(
    repo_id: str,
    schedule: Schedule,
    metadata: ScheduleMetadata | None = None,
    *,
    private: bool | None = None,
    revision: str | None = None,
    commit_message: str | None = None,
    create_pr: bool = False,
    token: str | bool | None = None,
    card: bool | None = None,
    license: str | None = None,  # noqa: A002 - as on the hub
) -> str:
    """Send a schedule and its card to a model repository of the hub, which is made where it does not exist.

    Args:
        repo_id: ``owner/name``.
        schedule: the schedule.
        metadata: see :func:`save_pretrained`.
        private: whether only the owner may see the repository; by default as the hub has it.
        revision: branch; the default one if None.
        commit_message: of the commit.
        create_pr: open a pull request in place of a commit.
        token: of the hub; by default the one that the user logged in with.
        card: see :func:`save_pretrained`; the card in the repository counts.
        license: see :func:`save_pretrained`.

    Returns:
        Address of the commit or pull request.

    Raises:
        HubError: the hub cannot be reached or refuses it, or something would be lost or shown that was not asked
            for: a card that a person wrote, or what ``private`` would hide in a repository that is public.
    """
    _check_target(repo_id)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        save_pretrained(folder, schedule, metadata, card=card, license=license, source=repo_id)
        return push_folder(
            folder,
            repo_id,
            private=private,
            revision=revision,
            message=commit_message or "Schedule and card",
            create_pr=create_pr,
            token=token,
            replace_card=card,
        )


def push_schedules(
    repo_id: str,
    files: Mapping[str, ScheduleFile],
    *,
    private: bool | None = None,
    revision: str | None = None,
    commit_message: str | None = None,
    create_pr: bool = False,
    token: str | bool | None = None,
    card: bool | None = None,
    license: str | None = None,  # noqa: A002 - as on the hub
) -> str:
    """Send several schedules with their index and card to a model repository of the hub.

    Args:
        repo_id: ``owner/name``.
        files: see :func:`~ecad_automl.sharing.index.save_schedules`.
        private: see :func:`push_schedule`, as for all further arguments.
        revision: branch.
        commit_message: of the commit.
        create_pr: open a pull request.
        token: of the hub.
        card: whether there is a card.
        license: for the card.

    Returns:
        Address of the commit or pull request.

    Raises:
        FileError: see :func:`~ecad_automl.sharing.index.save_schedules`.
        HubError: see :func:`push_schedule`.
    """
    _check_target(repo_id)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        save_schedules(folder, files)
        if card is not False:
            write_card(folder, collection_card(files, repo_id, license), card)
        return push_folder(
            folder,
            repo_id,
            private=private,
            revision=revision,
            message=commit_message or f"{len(files)} schedules, index and card",
            create_pr=create_pr,
            token=token,
            replace_card=card,
        )


def _with_versions(schedule: Schedule, metadata: ScheduleMetadata | None) -> ScheduleFile:
    metadata = metadata or ScheduleMetadata()
    if not metadata.versions:
        metadata = metadata.model_copy(update={"versions": software_versions()})
    return ScheduleFile(schedule, metadata)


def _load_local(path: Path, filename: str | None) -> ScheduleFile:
    if not path.is_dir():
        if filename is not None:
            raise OptionError(f"{path} is no folder, so filename={filename!r} cannot be in it; leave out one of them.")
        return load_schedule(path)
    if filename is not None:
        return load_schedule(inside(path, filename))
    if (path / SCHEDULE).is_file() or not (path / INDEX).is_file():
        if not (path / SCHEDULE).exists():
            raise FileError(
                f"The folder {path} has neither {SCHEDULE} nor {INDEX}; name a schedule file in it, or write the "
                "folder with ecad_automl.sharing.save_pretrained."
            )
        return load_schedule(inside(path, SCHEDULE))
    return _only(read_index(path))


def _only(index: ScheduleIndex) -> ScheduleFile:
    if len(index) > 1:
        names = ", ".join(repr(entry.file) for entry in index.entries[:8])
        more = f" and {len(index) - 8} more" if len(index) > 8 else ""
        raise OptionError(
            f"{index.source} holds {len(index)} schedules; name one ({names}{more}) or choose with load_index."
        )
    return index.load(index.entries[0])


def _check_target(repo_id: str) -> None:
    reference = parse_reference(repo_id)
    if reference is None or reference.file is not None or reference.revision is not None:
        raise OptionError(f"{repo_id!r} is no repository to push to; give one as 'owner/name'.")
