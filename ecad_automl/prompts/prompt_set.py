"""Prompts with their categories and their origin."""

from __future__ import annotations

import hashlib
import reprlib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ecad_automl.errors import PromptError

#: The text of a prompt and its category, as a file holds them: of any type, not yet checked.
Entry = tuple[object, object]

_SHOWN = 60

#: Of lists and objects only the beginning is written, however long or deep they are.
_REPR = reprlib.Repr()
_REPR.maxlevel, _REPR.maxstring, _REPR.maxother = 4, _SHOWN + 1, _SHOWN + 1
_REPR.maxlist = _REPR.maxtuple = _REPR.maxdict = _SHOWN


@dataclass(frozen=True)
class PromptSet:
    """Prompts in a fixed order.

    Args:
        name: what it is called in tables and records.
        prompts: at least one; stripped, none empty, each once, without control characters that are not whitespace.
        categories: one per prompt, for stratification; None where unknown.
        source: the file or hub id it was read from, with ``@`` and the revision where there is one.
        notes: what the reader left out or changed, a sentence each.

    Raises:
        PromptError: a prompt or a category is not of that form, or there is not one category per prompt.
    """

    name: str
    prompts: tuple[str, ...]
    categories: tuple[str | None, ...]
    source: str
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.prompts:
            raise PromptError(f"The prompt set {self.name!r} holds no prompt; at least one is needed.")
        if len(self.categories) != len(self.prompts):
            raise PromptError(
                f"The prompt set {self.name!r} has {len(self.categories)} categories for {len(self.prompts)} prompts; "
                "give one per prompt, None where it is unknown."
            )
        seen: set[str] = set()
        for number, prompt in enumerate(self.prompts, start=1):
            where = f"Prompt {number} of the set {self.name!r}"
            if prompt != _clean(prompt):
                raise PromptError(f"{where} is {shown(prompt)}; strip it and remove its control characters.")
            if not prompt:
                raise PromptError(f"{where} is empty; remove it or write a text.")
            if prompt in seen:
                raise PromptError(f"{where} is {shown(prompt)}, which occurs before; prompts must differ.")
            seen.add(prompt)
        for category in self.categories:
            if category is not None and (not category or category != _clean(category)):
                raise PromptError(
                    f"A category of the prompt set {self.name!r} is {shown(category)}; it must be a stripped text, or "
                    "None where it is unknown."
                )

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def digest(self) -> str:
        """SHA-256 of the prompts in their order, 64 hexadecimal digits; name, source and categories do not count."""
        # No prompt holds the null character, so joining is unambiguous.
        return hashlib.sha256("\0".join(self.prompts).encode()).hexdigest()

    def first(self, count: int) -> PromptSet:
        """The set of its first prompts; itself where it has no more than that.

        Raises:
            PromptError: ``count`` is below 1.
        """
        if count < 1:
            raise PromptError(f"The first {count} prompts were asked for; at least 1 is needed.")
        if count >= len(self):
            return self
        note = f"Only the first {count} of {len(self)} prompts are used."
        return replace(self.pick(range(count), self.name), notes=(*self.notes, note))

    def pick(self, numbers: Sequence[int], name: str) -> PromptSet:
        """Some prompts, by their numbers from 0, in the order of these, as a set of another name."""
        return replace(
            self,
            name=name,
            prompts=tuple(self.prompts[number] for number in numbers),
            categories=tuple(self.categories[number] for number in numbers),
        )


def collect(name: str, source: str, entries: Sequence[Entry]) -> PromptSet:
    """A prompt set of what a reader found.

    Prompts are stripped. Later duplicates are left out, and control characters that are not whitespace, as well as
    halves of surrogate pairs, are removed; notes say how many. An integer category becomes its digits, an empty one
    is unknown.

    Raises:
        PromptError: there is no entry, or one is no text or an empty one; the message says which.
    """
    prompts: dict[str, str | None] = {}
    dropped = cleaned = odd = 0
    for number, (value, category) in enumerate(entries, start=1):
        where = f"Prompt {number} of {len(entries)} in {source}"
        if not isinstance(value, str):
            raise PromptError(f"{where} is {shown(value)}, which is no text; give a text or remove it.")
        prompt = _clean(value)
        cleaned += prompt != value.strip()
        if not prompt:
            raise PromptError(f"{where} is empty; remove it or write a text.")
        if prompt in prompts:
            dropped += 1
            continue
        known = _category(category)
        odd += known is None and category not in (None, "")
        prompts[prompt] = known
    if not prompts:
        raise PromptError(f"{source} holds no prompt; at least one is needed.")
    notes = []
    if dropped:
        notes.append(f"{dropped} of {len(entries)} prompts were left out, since they occur before.")
    if cleaned:
        notes.append(f"Control characters were removed from {cleaned} of {len(entries)} prompts.")
    if odd:
        notes.append(f"The categories of {odd} of {len(prompts)} prompts are no texts and were left out.")
    return PromptSet(name, tuple(prompts), tuple(prompts.values()), source, tuple(notes))


def shown(value: object) -> str:
    """A value as it stands in a message: in quotes where it is a text, and not too long."""
    if isinstance(value, str):
        text = value[: _SHOWN + 1]
        text = repr(text) if text.isprintable() else ascii(text)
    else:
        text = _REPR.repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 4]} ..."


def listed(names: Sequence[str], most: int = 12) -> str:
    """Names as they stand in a message, and not too many."""
    first = ", ".join(name if len(name) <= _SHOWN and name.isprintable() else shown(name) for name in names[:most])
    return first + (f" and {len(names) - most} more" if len(names) > most else "")


def _clean(text: str) -> str:
    if text.isprintable():
        return text.strip()
    kept = (c for c in text if c.isspace() or unicodedata.category(c) not in ("Cc", "Cs"))
    return "".join(kept).strip()


def _category(value: object) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return _clean(value) or None if isinstance(value, str) else None
