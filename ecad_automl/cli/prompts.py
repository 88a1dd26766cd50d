"""Prompts as the commands take them: named by an option, bundled with the model, or what a search left aside."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ecad_automl.api.terminal import say
from ecad_automl.cli.completion import complete_prompts
from ecad_automl.cli.output import messages
from ecad_automl.errors import OptionError, PromptError

if TYPE_CHECKING:
    from ecad_automl.prompts import PromptSet, PromptSplit

__all__ = [
    "BUNDLED",
    "Column",
    "Limit",
    "Prompts",
    "Split",
    "choose_prompts",
    "held_out_prompts",
    "read_named",
    "split_record",
]

#: The model that brings prompts along.
BUNDLED = "shapes"

Prompts = Annotated[
    str | None,
    typer.Option(
        help="File (txt, json, csv, tsv, parquet), hub data set id, or a set such as drawbench=FILE.",
        autocompletion=complete_prompts,
    ),
]
Column = Annotated[str | None, typer.Option(help="Column of the prompts, where it is not called prompt or the like.")]
Split = Annotated[str | None, typer.Option(help="Split of a data set.")]
Limit = Annotated[int | None, typer.Option(help="Take only the first so many prompts.")]


def read_named(
    text: str,
    column: str | None = None,
    split: str | None = None,
    limit: int | None = None,
) -> PromptSet:
    """The prompts that an option names; says what was left out of them.

    Raises:
        PromptError: see :func:`~ecad_automl.prompts.read_prompt_set`.
        OptionError: the limit is below 1.
    """
    from ecad_automl.prompts import read_prompt_set

    if limit is not None and limit < 1:
        raise OptionError(f"The limit is {limit} prompts; at least 1 is needed.")
    found = read_prompt_set(text, column=column, split=split, limit=limit)
    for note in found.notes:
        say(messages(), note, style="yellow")
    return found


def choose_prompts(
    model: str,
    given: str | None,
    column: str | None,
    split: str | None,
    limit: int | None,
    *,
    bundled: str,
    count: int,
) -> PromptSet:
    """The prompts that options name, or those that come with the bundled model.

    Args:
        model: name of the model.
        given: what ``--prompts`` says.
        column: what ``--column`` says.
        split: what ``--split`` says.
        limit: what ``--limit`` says.
        bundled: which of the bundled prompts: "calibration" or "held-out".
        count: how many of them unless ``limit`` says otherwise.

    Raises:
        PromptError: there are none, or they cannot be read.
        OptionError: the limit is below 1.
    """
    if given is not None:
        return read_named(given, column, split, limit)
    if model != BUNDLED:
        raise PromptError(f"The model {model!r} has no bundled prompts; give some with --prompts.")
    if limit is not None and limit < 1:
        raise OptionError(f"The limit is {limit} prompts; at least 1 is needed.")
    from ecad_automl.prompts import PromptSet
    from ecad_automl.shapes.world import prompts as world_prompts

    chosen = tuple(world_prompts(bundled, limit or count))  # type: ignore[arg-type]
    return PromptSet(f"{BUNDLED} {bundled}", chosen, (None,) * len(chosen), "bundled")


def split_record(split: PromptSplit, given: str, column: str | None, part: str | None, limit: int | None) -> bytes:
    """What a study keeps of a split: its digests, and how its prompts are read again."""
    read = {"prompts": given, "column": column, "split": part, "limit": limit}
    return json.dumps({"read": read, "record": split.to_dict()}).encode()


def held_out_prompts(kept: bytes) -> PromptSet:
    """What a search left aside, read again from where it was.

    Args:
        kept: what :func:`split_record` gave.

    Raises:
        PromptError: the prompts cannot be read any more, or are others.
    """
    from ecad_automl.prompts import SplitRecord, check_split, split_prompts

    data: Mapping[str, Any] = json.loads(kept)
    read, record = data["read"], SplitRecord.from_dict(data["record"])
    whole = read_named(read["prompts"], read["column"], read["split"], read["limit"])
    split = split_prompts(whole, record.calibration.size, seed=record.seed)
    check_split(split, record)
    return split.held_out
