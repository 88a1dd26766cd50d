"""What is wrong with a value of a setting, in words."""

from __future__ import annotations

from typing import Any

from pydantic_core import ErrorDetails

_EXPECTED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "a text in quotes",
    "bool_type": "true or false",
    "list_type": "a list of texts",
}


def value_fault(error: ErrorDetails) -> str:
    """The end of a sentence that begins with the name of the setting."""
    return f"is {shown(error['input'])}, but {_expected(error)} is expected."


def _expected(error: ErrorDetails) -> str:
    context: dict[str, Any] = error.get("ctx", {})
    if error["type"] == "literal_error":
        return f"one of {context['expected']}"
    if error["type"] == "greater_than_equal":
        return f"a number of at least {context['ge']:g}"
    if error["type"] == "greater_than":
        return f"a number above {context['gt']:g}"
    return _EXPECTED.get(error["type"], error["msg"])


def shown(value: object) -> str:
    """A value as it stands in a file, and not too long."""
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else f"{text[:56]} ..."
