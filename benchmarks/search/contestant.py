"""What is run on a test bed beside others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Contestant", "DoesNotRunError"]


class DoesNotRunError(Exception):
    """A contestant cannot make the images."""


@dataclass(frozen=True)
class Contestant:
    """What is run.

    Args:
        method: what it is a setting of.
        modules: dotted names of the modules that make it.
        make: makes the images, by caption, then noise, or raises a :class:`DoesNotRunError`.
        saved: how many times fewer MACs than the uncached run; a function where that is known only afterwards.
    """

    method: str
    modules: tuple[str, ...]
    make: Callable[[], Any]
    saved: float | Callable[[], float]
