"""What is changed about pipelines and modules for a while, on the objects themselves and never on their classes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_NOTHING = object()


@contextmanager
def replaced(name: str, *values: tuple[Any, Any]) -> Iterator[None]:
    """Objects with another value of an attribute; afterwards it is as it was, or gone where there was none.

    Args:
        name: of the attribute.
        values: objects, each with its value.
    """
    before = [(each, vars(each).get(name, _NOTHING)) for each, _ in values]
    try:
        for each, value in values:
            setattr(each, name, value)
        yield
    finally:
        for each, value in before:
            if value is not _NOTHING:
                setattr(each, name, value)
            elif name in vars(each):
                delattr(each, name)


@contextmanager
def without_progress_bar(pipe: Any) -> Iterator[None]:
    """A pipeline that shows no progress bar of its own: whoever runs many calls shows one over all."""
    before = dict(getattr(pipe, "_progress_bar_config", {}))
    pipe.set_progress_bar_config(**{**before, "disable": True})
    try:
        yield
    finally:
        pipe.set_progress_bar_config(**before)
