"""Data sets of the Hugging Face hub, and folders that are data sets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecad_automl.errors import HubError, PromptError
from ecad_automl.files.paths import hub_file
from ecad_automl.prompts.files import INSTALL, choose_columns
from ecad_automl.prompts.prompt_set import Entry

_PART = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_HUB_ID = re.compile(rf"(?P<repo>{_PART}/{_PART})(?P<rest>(?:[@:][^@:\s]+){{0,2}})")
_COMMIT = re.compile(r"@([0-9a-f]{40})/")


@dataclass(frozen=True)
class HubId:
    """A data set of the hub.

    Args:
        repo: ``owner/name``.
        revision: branch, tag or commit; None is the default branch.
        config: name of a configuration; None is the only or default one.
    """

    repo: str
    revision: str | None = None
    config: str | None = None


def parse_hub_id(text: str) -> HubId | None:
    """``owner/name``, with ``@revision`` and ``:config`` in any order; None where the text is none."""
    found = _HUB_ID.fullmatch(text)
    if found is None:
        return None
    marks = re.findall(r"([@:])([^@:]+)", found["rest"])
    named = dict(marks)
    if len(named) != len(marks):
        return None
    return HubId(found["repo"], named.get("@"), named.get(":"))


def load_entries(source: HubId | Path, column: str | None, split: str | None) -> tuple[list[Entry], str]:
    """Prompts and categories of a data set, by ``datasets.load_dataset``.

    Args:
        source: on the hub, or a folder of parquet, CSV or JSON files.
        column: see :func:`~ecad_automl.prompts.files.choose_columns`.
        split: name of the split; may be None where there is just one.

    Returns:
        The entries, and the source with its commit where it is known.

    Raises:
        HubError: the data set cannot be loaded.
        PromptError: ``datasets`` is missing, or column or split is not there.
    """
    where = f"The data set {source.repo!r}" if isinstance(source, HubId) else f"The data set {source}"
    try:
        import datasets
    except ImportError as error:
        raise PromptError(f"{where} needs the package datasets; {INSTALL}.") from error
    try:
        if isinstance(source, Path):
            splits = datasets.load_dataset(str(source))
        else:
            splits = datasets.load_dataset(source.repo, name=source.config, revision=source.revision)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, datasets.exceptions.DatasetsError) as error:
        # load_dataset reports what is missing, damaged or out of reach by any of these.
        reason = " ".join(str(error).split())[:300].rstrip(".")
        raise HubError(
            f"{where} could not be loaded ({reason}); check its name and the connection to the hub, or download its "
            "file and name that."
        ) from error
    chosen = _choose_split(list(splits), split, where)
    prompt, category = choose_columns(splits[chosen].column_names, column, where)
    data = splits[chosen].select_columns([prompt] if category is None else [prompt, category])
    texts = list(data[prompt])
    categories = [None] * len(texts) if category is None else _named(data, category)
    return list(zip(texts, categories, strict=True)), _with_commit(source, data.info.download_checksums)


def fetch_file(repo: str, name: str, revision: str | None) -> tuple[Path, str]:
    """A file of a data set of the hub, from the local cache where it is there.

    Returns:
        Where the file lies, and ``owner/name@commit``.

    Raises:
        HubError: it cannot be had.
    """
    path = hub_file(repo, name, revision, kind="dataset")
    # The cache keeps files in folders named after commits.
    return path, f"{repo}@{path.parents[name.count('/')].name}"


def _choose_split(names: Sequence[str], split: str | None, where: str) -> str:
    if split in names:
        return str(split)
    if split is None and len(names) == 1:
        return names[0]
    wrong = "needs a split" if split is None else f"has no split {split!r}"
    raise PromptError(f"{where} {wrong}; name one of {', '.join(names)}.")


def _named(data: Any, category: str) -> list[object]:
    """Categories; where they are numbers of labels, by the names of these."""
    names = getattr(data.features[category], "names", None)
    values = list(data[category])
    if names is None:
        return values
    return [names[value] if isinstance(value, int) and 0 <= value < len(names) else None for value in values]


def _with_commit(source: HubId | Path, files: object) -> str:
    """A revision is a name that moves on; the addresses of downloaded files hold the commit."""
    if isinstance(source, Path):
        return str(source)
    found = _COMMIT.search(" ".join(map(str, files))) if isinstance(files, dict) else None
    revision = found[1] if found else source.revision
    return (
        source.repo
        + (f":{source.config}" if source.config is not None else "")
        + (f"@{revision}" if revision is not None else "")
    )
