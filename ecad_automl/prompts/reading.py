"""A prompt set by the name that a user gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ecad_automl.errors import PromptError
from ecad_automl.files.paths import expand_home
from ecad_automl.prompts.files import (
    CATEGORY_COLUMNS,
    PROMPT_COLUMNS,
    entries_of,
    parse_table,
    read_json,
    read_json_lines,
    read_lines,
    read_parquet,
    read_text,
)
from ecad_automl.prompts.hub import HubId, fetch_file, load_entries, parse_hub_id
from ecad_automl.prompts.prompt_set import PromptSet, collect
from ecad_automl.prompts.published import PARTI_COLUMNS, Content, published_names, recognize, with_suffix

#: Suffixes of files that can be read.
SUFFIXES = (".txt", ".json", ".jsonl", ".csv", ".tsv", ".parquet")

_DELIMITERS = {".csv": ",", ".tsv": "\t"}

#: Where published sets are on the hub: the data set, and its files by split, the usual one last; None where there are
#: no splits. Files are read rather than the data set loaded: that of ImageRewardDB is a script with images, that of
#: MJHQ-30K has images but no prompts, and of PartiPrompts the quotes around a quoted beginning get lost.
_ON_HUB: dict[str, tuple[str, dict[str | None, str]]] = {
    "imagerewarddb": (
        "zai-org/ImageRewardDB",
        {split: f"metadata-{split}.parquet" for split in ("train", "validation", "test")},
    ),
    "parti": ("nateraw/parti-prompts", {None: "PartiPrompts.tsv"}),
    "mjhq": ("playgroundai/MJHQ-30K", {None: "meta_data.json"}),
}
#: Its file on the hub is loaded as a data set.
_DRAWBENCH = "sayakpaul/drawbench"


def read_prompt_set(
    text: str, *, column: str | None = None, split: str | None = None, limit: int | None = None
) -> PromptSet:
    """Read prompts from a file, a folder or the hub.

    The text is one of

    - ``NAME=FILE``: a published set, see below, in its published form;
    - ``FILE``: ``.txt`` or without a suffix (a prompt per line; blank lines and lines that start with ``#`` are
      skipped), ``.json``, ``.jsonl``, ``.csv``, ``.tsv`` or ``.parquet``. Where the form is unmistakably that of a
      published set and no column is named, it is read as that set. For JSON see
      :func:`~ecad_automl.prompts.files.entries_of`;
    - ``FOLDER``: a data set of parquet, CSV or JSON files, by ``datasets.load_dataset``;
    - ``NAME`` or ``NAME@REVISION``: a published set from the hub;
    - ``OWNER/NAME``, with ``@REVISION`` and ``:CONFIG`` where needed: a data set of the hub.

    Published sets and the forms that are read:

    - ``imagerewarddb`` (Xu et al., arXiv 2304.05977): the metadata parquet files of ImageRewardDB, a row per image, of
      which the first of each ``prompt_id`` counts, with the ``classification`` as category; or the JSON files of the
      ImageReward repository (``benchmark-prompts.json``, the 100 prompts of ECAD; ``test.json``), lists of objects with
      ``id`` and ``prompt``, without categories. From the hub, the split "test" unless another one is named: the reward
      was not trained on it.
    - ``drawbench`` (Saharia et al., arXiv 2205.11487): CSV with the columns Prompts and Category.
    - ``parti`` (Yu et al., arXiv 2206.10789): ``PartiPrompts.tsv`` with the columns Prompt, Category, Challenge and
      Note; quotes are part of the text.
    - ``coco`` (Lin et al., arXiv 1405.0312): ``captions_val2014.json`` or its like; one caption per image, that with
      the smallest annotation id, in the order of image ids, without categories. Not on the hub.
    - ``mjhq`` (Li et al., arXiv 2402.17245): ``meta_data.json`` of MJHQ-30K, objects with ``category`` and ``prompt``
      by id.

    Args:
        text: what to read.
        column: the column or key of the prompts; None takes the first of
            :data:`~ecad_automl.prompts.files.PROMPT_COLUMNS` that is there.
        split: a split of a data set; may be left out where there is just one.
        limit: use only so many prompts, the first ones; None uses all.

    Returns:
        The prompts, stripped, each once; its notes say what was left out, see
        :func:`~ecad_automl.prompts.prompt_set.collect`.

    Raises:
        FileError: the file cannot be read or is damaged.
        HubError: it cannot be had from the hub.
        PromptError: there is nothing of that name, it holds no prompt or an empty one, or an option does not apply.
    """
    prompts = _read(text, column, split)
    return prompts if limit is None else prompts.first(limit)


def _read(text: str, column: str | None, split: str | None) -> PromptSet:
    if not text.strip():
        raise PromptError("The name of the prompts is empty; give a file, a folder, a set or a hub id.")
    name, mark, file = text.partition("=")
    if mark and not _is_path(text):
        _check_no_column(name, column)
        _check_no_split(text, split)
        with_suffix(name, Path(file).suffix.lower())
        return _read_published(name, _existing(file), file)
    hub_id = parse_hub_id(text)
    bare, mark, revision = text.partition("@")
    if bare in published_names() and bool(mark) == bool(revision):
        return _read_published_from_hub(bare, revision or None, column, split)
    if _is_path(text):
        path = expand_home(text)
        if path.is_dir():
            entries, source = load_entries(path, column, split)
            return collect(path.resolve().name, source, entries)
        _check_no_split(text, split)
        return _read_file(path, column)
    if hub_id is None or Path(hub_id.repo).suffix.lower() in SUFFIXES:
        raise PromptError(
            f"There is no prompt file {text!r}; give a file ({', '.join(SUFFIXES)}), a folder, a set "
            f"({', '.join(published_names())}), alone or as NAME=FILE, or a hub id like 'owner/name'."
        )
    known = {_DRAWBENCH: "drawbench", **{repo: name for name, (repo, _) in _ON_HUB.items()}}
    if column is None and hub_id.config is None and hub_id.repo in known:
        return _read_published_from_hub(known[hub_id.repo], hub_id.revision, column, split)
    entries, source = load_entries(hub_id, column, split)
    return collect(hub_id.repo, source, entries)


def _read_published(name: str, path: Path, source: str) -> PromptSet:
    form = with_suffix(name, path.suffix.lower())
    content = _content(path, None)
    if not form.matches(content):
        raise PromptError(f"{source} is not {name!r} as it is published; {form.form} is expected.")
    return collect(name, source, form.read(content, source))


def _read_published_from_hub(name: str, revision: str | None, column: str | None, split: str | None) -> PromptSet:
    _check_no_column(name, column)
    if name == "drawbench":
        entries, source = load_entries(HubId(_DRAWBENCH, revision), "Prompts", split)
        return collect(name, source, entries)
    if name not in _ON_HUB:
        raise PromptError(f"The prompt set {name!r} is not on the hub; download its file and give {name}=FILE.")
    repo, files = _ON_HUB[name]
    chosen = next(reversed(files)) if split is None else split
    if chosen not in files:
        known = "it has none, leave it out" if None in files else f"name one of {', '.join(map(str, files))}"
        raise PromptError(f"The prompt set {name!r} has no split {chosen!r}; {known}.")
    path, source = fetch_file(repo, files[chosen], revision)
    prompts = _read_published(name, path, source)
    return prompts if chosen is None else replace(prompts, name=f"{name}-{chosen}")


def _read_file(path: Path, column: str | None) -> PromptSet:
    suffix = path.suffix.lower()
    if suffix not in ("", *SUFFIXES):
        raise PromptError(f"The prompt file {path} has an unknown suffix; name it one of {', '.join(SUFFIXES)}.")
    if suffix in ("", ".txt") and column is not None:
        raise PromptError(f"The column {column!r} was named, but the text file {path} has none; leave it out.")
    content = _content(path, column)
    form = recognize(suffix, content) if column is None else None
    if form is not None:
        return collect(form.name, str(path), form.read(content, str(path)))
    return collect(path.stem, str(path), entries_of(content, column, str(path)))


def _content(path: Path, column: str | None) -> Content:
    """What a file holds: a table, a JSON value, or a list of lines or of JSON values."""
    suffix = path.suffix.lower()
    if suffix in ("", ".txt"):
        return read_lines(path)
    if suffix == ".json":
        return read_json(path)
    if suffix == ".jsonl":
        return read_json_lines(path)
    if suffix == ".parquet":
        wanted = {*PROMPT_COLUMNS, *CATEGORY_COLUMNS, "prompt_id"} | ({column} if column is not None else set())
        return read_parquet(path, wanted)
    text = read_text(path)
    # PartiPrompts has a prompt that begins with quotes, which are part of it.
    parti = tuple(text.partition("\n")[0].split("\t")) == PARTI_COLUMNS
    return parse_table(text, path, _DELIMITERS[suffix], quoted=not (suffix == ".tsv" and parti))


def _is_path(text: str) -> bool:
    try:
        return Path(text).expanduser().exists()
    except (OSError, ValueError, RuntimeError):  # too long, with a null character, or of an unknown user
        return False


def _existing(text: str) -> Path:
    if not _is_path(text) or not expand_home(text).is_file():
        raise PromptError(f"There is no prompt file {text!r}; check the path.")
    return expand_home(text)


def _check_no_column(name: str, column: str | None) -> None:
    if column is not None:
        raise PromptError(
            f"The column {column!r} was named, but the columns of the set {name!r} are known; leave it out."
        )


def _check_no_split(text: str, split: str | None) -> None:
    if split is not None:
        raise PromptError(f"The split {split!r} was named, but {text} is one file, which has no splits; leave it out.")
