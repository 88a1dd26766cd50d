"""What users call options: errors come from below the command line and Python alike, and speak of one of them."""

from __future__ import annotations

from contextvars import ContextVar

#: Whether a command runs.
ON_COMMAND_LINE: ContextVar[bool] = ContextVar("on command line", default=False)


def option(name: str) -> str:
    """What the user calls an option: ``--steps-from`` on the command line, ``steps_from`` in Python.

    Args:
        name: in Python.
    """
    return f"--{name.replace('_', '-')}" if ON_COMMAND_LINE.get() else name
