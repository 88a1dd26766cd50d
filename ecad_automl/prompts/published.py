"""The prompt sets that the field reports on, in the form in which they are published."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ecad_automl.errors import PromptError
from ecad_automl.prompts.files import Table, entries_of
from ecad_automl.prompts.prompt_set import Entry, shown

#: What a file holds: a table, or a JSON value.
Content = Any

MJHQ_CATEGORIES = frozenset(
    ("animals", "art", "fashion", "food", "indoor", "landscape", "logo", "people", "plants", "vehicles")
)
PARTI_COLUMNS = ("Prompt", "Category", "Challenge", "Note")

_IMAGE_REWARD_COLUMNS = {"prompt_id", "prompt", "classification"}
# Folder and number of an image of DiffusionDB, from which the prompts were taken.
_IMAGE_REWARD_ID = re.compile(r"\d{6}-\d{4}")


@dataclass(frozen=True)
class PublishedForm:
    """A form in which a set is published.

    Args:
        name: of the set.
        suffix: of its file.
        form: what the file holds, in words.
        matches: whether something has the form.
        column: of the prompts, or their key.
        telling: whether something can hardly be another set of the same form; None where nothing else has the form.
        entries: prompts and categories, where they are not simply those of the column.
    """

    name: str
    suffix: str
    form: str
    matches: Callable[[Content], bool]
    column: str = "prompt"
    telling: Callable[[Content], bool] | None = None
    entries: Callable[[Content, str], list[Entry]] | None = None

    def read(self, content: Content, where: str) -> list[Entry]:
        """Prompts and categories of something that has the form; the text says where it is from."""
        return entries_of(content, self.column, where) if self.entries is None else self.entries(content, where)


def published_names() -> list[str]:
    """Names of the sets that can be read."""
    return sorted({form.name for form in FORMS})


def with_suffix(name: str, suffix: str) -> PublishedForm:
    """The form of a set in files with a suffix.

    Raises:
        PromptError: the set is unknown, or is not published in such files.
    """
    forms = [form for form in FORMS if form.name == name]
    if not forms:
        raise PromptError(f"The prompt set {name!r} is unknown; choose one of {', '.join(published_names())}.")
    for form in forms:
        if form.suffix == suffix:
            return form
    known = " or as ".join(f"{form.suffix} ({form.form})" for form in forms)
    given = f"a {suffix} file" if suffix else "a file without a suffix"
    raise PromptError(f"The prompt set {name!r} is published as {known}, but {given} was given.")


def recognize(suffix: str, content: Content) -> PublishedForm | None:
    """The form that a file has unmistakably, if any."""
    for form in FORMS:
        if form.suffix == suffix and form.matches(content) and (form.telling is None or form.telling(content)):
            return form
    return None


def _image_reward_rows(table: Table, where: str) -> list[Entry]:
    """Rows are images or pairs of images; the first of each prompt id counts."""
    firsts: dict[object, Entry] = {}
    for prompt_id, entry in zip(table.columns["prompt_id"], entries_of(table, "prompt", where), strict=True):
        firsts.setdefault(prompt_id, entry)
    return list(firsts.values())


def _is_image_reward_list(content: Content) -> bool:
    return (
        isinstance(content, list)
        and bool(content)
        and all(
            isinstance(item, dict)
            and "prompt" in item
            and isinstance(item.get("id"), str)
            and _IMAGE_REWARD_ID.fullmatch(item["id"])
            for item in content
        )
    )


def _are_columns(names: Sequence[str]) -> Callable[[Content], bool]:
    return lambda content: isinstance(content, Table) and content.names == names


def _is_coco(content: Content) -> bool:
    if not isinstance(content, dict):
        return False
    images, annotations = content.get("images"), content.get("annotations")
    if not isinstance(images, list) or not isinstance(annotations, list) or not annotations:
        return False
    return isinstance(annotations[0], dict) and "caption" in annotations[0]


def _coco(content: Content, where: str) -> list[Entry]:
    """Of the captions of an image that with the smallest id, by image id."""
    images = {_number(image, "id", f"Image {n} of {where}") for n, image in enumerate(content["images"], start=1)}
    first: dict[int, tuple[int, object]] = {}
    for number, annotation in enumerate(content["annotations"], start=1):
        item = f"Annotation {number} of {where}"
        image, identifier = _number(annotation, "image_id", item), _number(annotation, "id", item)
        if image not in images:
            raise PromptError(f"{item} is of image {image}, which the file does not list; give the whole file.")
        caption = annotation.get("caption")
        if image not in first or identifier < first[image][0]:
            first[image] = (identifier, caption)
    return [(first[image][1], None) for image in sorted(first)]


def _number(item: object, key: str, where: str) -> int:
    value = item.get(key) if isinstance(item, dict) else None
    if not isinstance(value, int):
        raise PromptError(f"{where} has {shown(value)} as {key!r}, but an integer is expected; give the file as it is.")
    return value


def _is_mjhq(content: Content) -> bool:
    return (
        isinstance(content, dict)
        and bool(content)
        and all(isinstance(item, dict) and {"category", "prompt"} <= set(item) for item in content.values())
    )


FORMS = (
    PublishedForm(
        "imagerewarddb",
        ".parquet",
        "columns prompt_id, prompt and classification, a row per image or pair",
        lambda content: isinstance(content, Table) and set(content.names) >= _IMAGE_REWARD_COLUMNS,
        entries=_image_reward_rows,
    ),
    PublishedForm(
        "imagerewarddb",
        ".json",
        "a list of objects with id, such as 005695-0057, and prompt",
        _is_image_reward_list,
    ),
    PublishedForm(
        "drawbench",
        ".csv",
        "columns Prompts and Category",
        _are_columns(("Prompts", "Category")),
        column="Prompts",
    ),
    PublishedForm(
        "parti",
        ".tsv",
        "columns Prompt, Category, Challenge and Note, unquoted",
        _are_columns(PARTI_COLUMNS),
        column="Prompt",
    ),
    PublishedForm("coco", ".json", "an object with images and annotations that have captions", _is_coco, entries=_coco),
    PublishedForm(
        "mjhq",
        ".json",
        "an object of objects with category and prompt by id",
        _is_mjhq,
        telling=lambda content: {str(item["category"]) for item in content.values()} <= MJHQ_CATEGORIES,
    ),
)
