"""The prompts of a search: named, bundled with the model, or what a search left aside."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console

from ecad_automl.api.terminal import warn
from ecad_automl.bundled import BUNDLED
from ecad_automl.errors import OptionError, PromptError
from ecad_automl.wording import option

if TYPE_CHECKING:
    from ecad_automl.prompts import PromptSet, PromptSplit
    from ecad_automl.shapes.world import Split


def read_named(
    console: Console, text: str, column: str | None = None, split: str | None = None, limit: int | None = None
) -> PromptSet:
    """The prompts of a name; says what was left out of them.

    Raises:
        PromptError: see :func:`~ecad_automl.prompts.read_prompt_set`.
    """
    from ecad_automl.prompts import read_prompt_set

    found = read_prompt_set(text, column=column, split=split, limit=limit)
    for note in found.notes:
        warn(console, note)
    return found


def choose_prompts(
    console: Console,
    model: str,
    given: str | None,
    column: str | None,
    split: str | None,
    limit: int | None,
    *,
    bundled: Split,
    count: int,
) -> PromptSet:
    """The prompts of a name, or some that come with a bundled model; says what was left out of them.

    The bundled ones are "calibration" or "held-out" prompts, ``count`` of them unless ``limit`` says otherwise.

    Raises:
        PromptError: there are none, or they cannot be read.
        OptionError: the limit is below 1.
    """
    if limit is not None and limit < 1:
        raise OptionError(f"The limit is {limit} prompts; at least 1 is needed.")
    if given is not None:
        return read_named(console, given, column, split, limit)
    if model not in BUNDLED:
        raise PromptError(f"The model {model!r} has no bundled prompts; give some with {option('prompts')}.")
    from ecad_automl.prompts import PromptSet

    chosen = tuple(BUNDLED[model].prompts(bundled, limit or count))
    return PromptSet(f"{model} {bundled}", chosen, (None,) * len(chosen), "bundled")


def split_record(split: PromptSplit, given: str, column: str | None, part: str | None, limit: int | None) -> bytes:
    """What a study keeps of a split: its digests, and how its prompts are read again."""
    read = {"prompts": given, "column": column, "split": part, "limit": limit}
    return json.dumps({"read": read, "record": split.record.model_dump()}).encode()


def held_out_prompts(console: Console, kept: bytes) -> PromptSet:
    """What a search left aside, read again from where it was, by what :func:`split_record` gave.

    Raises:
        PromptError: the prompts cannot be read any more, or are others.
    """
    from ecad_automl.prompts import SplitRecord, check_split, split_prompts

    data: Mapping[str, Any] = json.loads(kept)
    read, record = data["read"], SplitRecord.from_dict(data["record"])
    whole = read_named(console, read["prompts"], read["column"], read["split"], read["limit"])
    split = split_prompts(whole, record.calibration.size, seed=record.seed)
    check_split(split, record)
    return split.held_out
