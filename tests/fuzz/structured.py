"""Sound documents with one thing changed, for what parsers do behind their first checks."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["Changed", "changed", "near_text"]

#: Values that nobody expects, of all kinds that documents have.
_ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2**31, 2**63, 10**12, 0.5, -0.0, 1e308, float("nan"), float("inf")),
    *("", "0", "ff", "nan", "../a", "\x1b[2J", "\ud800", "é" * 40, "a\nb", "=1+1", "{}"),
    *([], {}, [[]], [None], {"": 0}, [0, 1], {"a": {"b": []}}),
)


def changed(value: Any, rng: random.Random) -> Any:
    """A copy of a document of dictionaries, lists, texts and numbers in which one thing is other.

    Every value and every container is as likely to be the one.
    """
    places = list(_places(value))
    place = places[rng.randrange(len(places))]
    return _replaced(value, place, rng)


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _places(item, (*path, key))


def _replaced(value: Any, path: tuple[Any, ...], rng: random.Random) -> Any:
    if not path:
        return rng.choice(_ODD) if rng.random() < 0.3 else _near(value, rng)
    key, *rest = path
    if isinstance(value, dict):
        return {**value, key: _replaced(value[key], tuple(rest), rng)}
    return [*value[:key], _replaced(value[key], tuple(rest), rng), *value[key + 1 :]]


def _near(value: Any, rng: random.Random) -> Any:
    """A value of the same kind that is a little other."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return rng.choice((value + 1, max(0, value - 1), 2 * value, -value, 0))
    if isinstance(value, float):
        return rng.choice((value * 1.1, value / 3, -value, value + 1, int(value) if abs(value) < 2**62 else 0))
    if isinstance(value, str):
        return near_text(value, rng)
    if isinstance(value, list):
        at = rng.randrange(len(value) + 1)
        return [*value[:at], *value[at + 1 :]] if rng.random() < 0.5 else [*value[: at + 1], *value[at:]]
    if isinstance(value, dict) and value:
        key = rng.choice(list(value))
        if rng.random() < 0.5:
            return {name: item for name, item in value.items() if name != key}
        return {**value, near_text(str(key), rng): value[key]}
    return rng.choice(_ODD)


def near_text(text: str, rng: random.Random) -> str:
    """One character more, less or other, which the text has itself most of the time."""
    at = rng.randrange(len(text) + 1)
    other = rng.choice(text) if text and rng.random() < 0.8 else rng.choice("0f/.:-_ @#=é\0\x1b")
    return rng.choice((text[:at] + other + text[at:], text[:at] + other + text[at + 1 :], text[:at] + text[at + 1 :]))


@dataclass(frozen=True)
class Changed:
    """A target that is given sound documents with one thing changed.

    Args:
        documents: sound ones.
        write: a document as the input of the target.
        change: makes another document of one.
    """

    documents: Callable[[], list[Any]]
    write: Callable[[Any], bytes]
    change: Callable[[Any, random.Random], Any] = changed

    def inputs(self, seed: int) -> Iterator[bytes]:
        """Inputs without end, the same for the same seed."""
        rng, documents = random.Random(seed), self.documents()
        while True:
            try:
                yield self.write(self.change(rng.choice(documents), rng))
            except (ValueError, TypeError, AttributeError):
                continue  # it cannot be written in this form, as a list with None in TOML
