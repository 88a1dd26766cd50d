"""Tables of prompts: which column is which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ecad_automl.errors import PromptError
from ecad_automl.prompts.prompt_set import Entry, listed

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
    """The names of the column of prompts and of that of categories, None where there is none.

    Args:
        names: of all columns.
        column: what the user wants as prompts; None takes the first of :data:`PROMPT_COLUMNS`.
        where: what holds the columns, for messages.

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


def table_entries(table: Table, column: str | None, where: str) -> list[Entry]:
    """Prompts and categories of a table, see :func:`choose_columns`."""
    prompt, category = choose_columns(table.names, column, where)
    prompts = table.columns[prompt]
    categories = [None] * len(prompts) if category is None else table.columns[category]
    return list(zip(prompts, categories, strict=True))
