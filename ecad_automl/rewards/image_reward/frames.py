"""Messages between two processes over pipes: length-prefixed frames, of JSON text or of raw arrays.

The other process may be an older Python without this project, which loads this file by its path: it uses nothing but
the standard library.
"""

from __future__ import annotations

import json
import struct
from typing import IO, Any

_LENGTH = struct.Struct(">Q")
_LONGEST = 1 << 36
"""Bytes that no sensible frame has; what is not from the other side's protocol would most likely say more."""


def write_frame(pipe: IO[bytes], data: bytes) -> None:
    """Write eight bytes of length, big-endian, then the data; they are on their way when this returns."""
    pipe.write(_LENGTH.pack(len(data)))
    pipe.write(data)
    pipe.flush()


def read_frame(pipe: IO[bytes]) -> bytes:
    """The data of the next frame.

    Raises:
        EOFError: the other side closed the pipe, before the frame or within it.
        ValueError: this is no frame.
    """
    (length,) = _LENGTH.unpack(_read(pipe, _LENGTH.size))
    if length > _LONGEST:
        raise ValueError("this is no frame")
    return _read(pipe, length)


def write_message(pipe: IO[bytes], message: dict[str, Any]) -> None:
    """Write a JSON object as a frame."""
    write_frame(pipe, json.dumps(message).encode())


def read_message(pipe: IO[bytes]) -> dict[str, Any]:
    """The JSON object in the next frame.

    Raises:
        EOFError: the other side closed the pipe.
        ValueError: the frame is no JSON object.
    """
    message = json.loads(read_frame(pipe))
    if not isinstance(message, dict):
        raise ValueError(f"{message!r} is no message")  # noqa: TRY004
    return message


def _read(pipe: IO[bytes], length: int) -> bytes:
    data = pipe.read(length)
    if len(data) < length:
        raise EOFError("the pipe was closed")
    return data
