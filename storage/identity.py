"""What makes two searches the same study, and how two of them differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_SHOWN = 80

# Fields that studies of earlier versions lack, and on which no result depends.
_LATER = ("text_macs", "elements")


def differences(stored: Mapping[str, Any], given: Mapping[str, Any], *, where: str = "in the study") -> list[str]:
    """What differs between two identities, one phrase a field.

    Args:
        stored: the identity that a study was started with, JSON values.
        given: the identity that it is asked for with, JSON values.
        where: what to call the place of the stored values.

    Returns:
        Phrases such as ``seed (0 in the study, 1 now)``, nested fields by their dotted path; empty where none differs.
    """
    mine, theirs = dict(_leaves(stored)), dict(_leaves(given))
    phrases = []
    for name in dict.fromkeys([*mine, *theirs]):
        if name not in mine and name.rpartition(".")[2] in _LATER:
            continue
        if name not in mine:
            phrases.append(f"{name} (not {where}, {_short(theirs[name])} now)")
        elif name not in theirs:
            phrases.append(f"{name} ({_short(mine[name])} {where}, left out now)")
        elif mine[name] != theirs[name]:
            phrases.append(_phrase(name, mine[name], theirs[name], where))
    return phrases


def _phrase(name: str, mine: object, theirs: object, where: str) -> str:
    if isinstance(mine, list) and isinstance(theirs, list):
        if len(mine) != len(theirs):
            return f"{name} ({len(mine)} entries {where}, {len(theirs)} now)"
        index = next(index for index, pair in enumerate(zip(mine, theirs, strict=True)) if pair[0] != pair[1])
        return _phrase(f"{name}.{index}", mine[index], theirs[index], where)
    return f"{name} ({_short(mine)} {where}, {_short(theirs)} now)"


def described(found: Sequence[str]) -> str:
    """The first few differences, and how many more there are."""
    return "; ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")


def _leaves(value: object, path: str = "") -> list[tuple[str, Any]]:
    """Values by dotted path; lists are opened too, so that one slot of a layout can be named."""
    if isinstance(value, Mapping) and value:
        items = [(str(key), item) for key, item in value.items()]
    elif isinstance(value, list) and any(isinstance(item, (Mapping, list)) for item in value):
        items = [(str(index), item) for index, item in enumerate(value)]
    else:
        return [(path, value)]
    return [leaf for key, item in items for leaf in _leaves(item, f"{path}.{key}" if path else key)]


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
