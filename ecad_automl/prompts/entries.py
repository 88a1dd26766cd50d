"""Prompts in tables, and in JSON values of the forms that people write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ecad_automl.errors import PromptError
from ecad_automl.prompts.prompt_set import Entry, listed, shown

#: Names of the column of prompts, the first that exists is taken.
PROMPT_COLUMNS = ("prompt", "Prompt", "prompts", "Prompts", "caption", "Caption", "text", "Text")
#: Names of the column of categories, the first that exists is taken.
CATEGORY_COLUMNS = ("category", "Category", "classification")


@dataclass(frozen=True)
class Table:
    """Columns of equal length.

    Args:
        names: of all columns, in their order.
        columns: those that were read.
    """

    names: tuple[str, ...]
    columns: Mapping[str, Sequence[object]]


def choose_columns(names: Sequence[str], column: str | None, where: str) -> tuple[str, str | None]:
    """The names of the columns of prompts and of categories, of which there may be none.

    Prompts are in the column that was asked for, otherwise in the first of :data:`PROMPT_COLUMNS`.

    Raises:
        PromptError: there is no such column.
    """
    candidates = PROMPT_COLUMNS if column is None else (column,)
    found = next((name for name in candidates if name in names), None)
    if found is None:
        wanted = f"column {column!r}" if column is not None else f"column of prompts ({', '.join(PROMPT_COLUMNS)})"
        known = listed(list(map(str, names)))
        raise PromptError(f"{where} has no {wanted}; its columns are {known}: name one of them.")
    category = next((name for name in CATEGORY_COLUMNS if name in names and name != found), None)
    return found, category


def entries_of(content: object, column: str | None, where: str) -> list[Entry]:
    """Prompts and categories of a table or a JSON value.

    The value may be a list of texts or of objects, or an object whose values are

    - texts: prompts by their id;
    - objects: records by their id;
    - lists of texts or objects: prompts by their category (of one list alone, the key is no category).

    Args:
        content: the table or value.
        column: that of the prompts, or the key of objects under which they are; None takes the first of
            :data:`PROMPT_COLUMNS`.
        where: what holds the content, for messages.

    Raises:
        PromptError: the value has another form, an object lacks the key, or there is no such column.
    """
    if isinstance(content, Table):
        prompt, category = choose_columns(content.names, column, where)
        prompts = content.columns[prompt]
        categories = [None] * len(prompts) if category is None else content.columns[category]
        return list(zip(prompts, categories, strict=True))
    if isinstance(content, list):
        return _record_entries(content, column, where)
    if isinstance(content, dict) and content:
        values = list(content.values())
        if all(isinstance(value, str | dict) for value in values):
            return _record_entries(values, column, where)
        if all(isinstance(value, list) for value in values):
            return _grouped(content, column, where)
    raise PromptError(
        f"{where} holds {_kind(content)}; a list of texts or objects is expected, or an object whose values are all "
        "texts, all objects, or all lists of these."
    )


def _record_entries(records: Sequence[Any], column: str | None, where: str) -> list[Entry]:
    """Of a list of texts, or of objects that all have the same key for the prompt."""
    if all(isinstance(record, str) for record in records):
        if records and column is not None:
            raise PromptError(f"The column {column!r} was named, but {where} holds texts alone; leave it out.")
        return [(record, None) for record in records]
    keys: dict[str, None] = {}
    for number, record in enumerate(records, start=1):
        if not isinstance(record, dict):
            raise PromptError(
                f"Item {number} of {where} is {shown(record)}; all items must be texts, or all must be objects."
            )
        keys.update(dict.fromkeys(record))
    prompt, category = choose_columns(list(keys), column, where)
    entries: list[Entry] = []
    for number, record in enumerate(records, start=1):
        if prompt not in record:
            raise PromptError(f"Item {number} of {where} has no {prompt!r}, under which others have their prompt.")
        entries.append((record[prompt], None if category is None else record.get(category)))
    return entries


def _grouped(groups: dict[str, list[object]], column: str | None, where: str) -> list[Entry]:
    entries: list[Entry] = []
    for key, records in groups.items():
        group = key if len(groups) > 1 else None
        found = _record_entries(records, column, f"the list {key!r} of {where}")
        entries += [(prompt, group if category is None else category) for prompt, category in found]
    return entries


def _kind(data: object) -> str:
    if isinstance(data, dict):
        return "an object with values of other or mixed types" if data else "an empty object"
    return shown(data)
