"""Reading and writing JSON files: clear errors, and writes that leave the old file or the new one, nothing between."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ecad_automl.errors import FileError

#: Largest JSON file that is read unless a reader has its own bound: 16 MiB.
MAX_JSON_BYTES = 2**24

#: Deepest nesting of objects and lists that is read; ours have 6.
MAX_JSON_DEPTH = 64

_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{\]}]', re.DOTALL)


def read_json_object(path: str | Path, what: str, *, most_bytes: int = MAX_JSON_BYTES) -> dict[str, Any]:
    """The object that a JSON file holds.

    Args:
        path: the file.
        what: what the file should be, such as "schedule file", for messages.
        most_bytes: largest file that is read.

    Raises:
        FileError: there is no such file, it cannot be read, is too large or nested too deep, or it is not one JSON
            object in UTF-8.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            data = file.read(most_bytes + 1)
        if len(data) > most_bytes:
            raise FileError(f"{path} has more than {most_bytes} bytes, too many for a {what}; check the path.")
        text = data.decode("utf-8")
    except FileNotFoundError as error:
        raise FileError(f"There is no {what} at {path}; check the path.") from error
    except IsADirectoryError as error:
        raise FileError(f"{path} is a folder, but a {what} is expected; name a file in it.") from error
    except UnicodeDecodeError as error:
        raise FileError(f"{path} is not text in UTF-8, so it is no {what}; check the path.") from error
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise FileError(f"The {what} {str(path)!r} cannot be read ({_reason(error)}); check it.") from error
    check_depth(text, f"The {what} {path}")
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise FileError(
            f"The {what} {path} is damaged: it is not JSON from line {error.lineno}, column {error.colno} on "
            f"({error.msg}); restore it from a copy or export it again."
        ) from error
    except (ValueError, RecursionError) as error:
        raise FileError(f"The {what} {path} is damaged ({error}); restore it or export it again.") from error
    if not isinstance(value, dict):
        raise FileError(f"{path} holds a JSON {type(value).__name__}, but a {what} is one object; check the path.")
    return value


def check_depth(text: str, where: str) -> None:
    """Refuse JSON that is nested deeper than :data:`MAX_JSON_DEPTH`, before it is parsed.

    Args:
        text: the JSON text, well-formed or not.
        where: what holds it, for the message.

    Raises:
        FileError: it is nested deeper.
    """
    depth = 0
    for found in _STRING_OR_BRACKET.finditer(text):
        mark = found[0]
        if mark in ("{", "["):
            depth += 1
            if depth > MAX_JSON_DEPTH:
                raise FileError(
                    f"{where} is damaged or of another kind: it is nested deeper than {MAX_JSON_DEPTH} levels; restore "
                    "it or export it again."
                )
        elif mark in ("}", "]"):
            depth -= 1


def write_text(path: str | Path, text: str, what: str) -> None:
    """Write a whole file, or leave what was there: the text goes to a file beside it, which then takes its place.

    Args:
        path: the file to make or replace; a link is followed.
        text: all of its content.
        what: what the file is, for messages.

    Raises:
        FileError: the folder does not exist or cannot be written, or the disk is full.
    """
    path = Path(path)
    if "\0" in str(path):
        raise FileError(f"The {what} cannot be written to {str(path)!r}: a path has no null character.")
    if path.is_dir():
        raise FileError(f"The {what} cannot be written to {path}, which is a folder; name a file in it.")
    target = Path(os.path.realpath(path))
    beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        with beside.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(target)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise FileError(
            f"The {what} {path} cannot be written ({_reason(error)}); {_advice(error)}, what was there is unchanged."
        ) from error
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise


def write_texts(folder: str | Path, texts: Mapping[str, str], what: str) -> list[Path]:
    """Write several files, or none: all of them lie in a folder beside before the first takes its place.

    Args:
        folder: where; made where there is none, as are folders in it.
        texts: by the files' paths in it.
        what: what the files are, for messages.

    Returns:
        The files.

    Raises:
        FileError: the folder cannot be written, or the disk is full.
    """
    folder = Path(folder).absolute()
    there = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
    try:
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=there) as scratch:
            for number, text in enumerate(texts.values()):
                with Path(scratch, str(number)).open("x", encoding="utf-8") as file:
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
            for number, name in enumerate(texts):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                Path(scratch, str(number)).replace(folder / name)
    except OSError as error:
        raise FileError(
            f"The {what} cannot be written to {folder} ({_reason(error)}); {_advice(error)}, nothing was written."
        ) from error
    return [folder / name for name in texts]


def json_text(value: object, *, width: int = 118) -> str:
    """JSON in which whatever fits a line is on one line, so that tables of bits can be read.

    Args:
        value: anything of dictionaries, lists, text, numbers, booleans and None.
        width: longest line that is not broken.

    Raises:
        ValueError: a number is not finite, or a container holds itself.
        TypeError: a value has no JSON form.
    """
    return _lines(value, "", 0, width) + "\n"


def _lines(value: object, indent: str, used: int, width: int) -> str:
    flat = json.dumps(value, allow_nan=False)
    if len(indent) + used + len(flat) <= width or not value or not isinstance(value, (dict, list, tuple)):
        return flat
    deeper = indent + "  "
    if isinstance(value, dict):
        keys = [f"{json.dumps(str(key))}: " for key in value]
        items = [key + _lines(item, deeper, len(key), width) for key, item in zip(keys, value.values(), strict=True)]
        opening, closing = "{}"
    else:
        items = [_lines(item, deeper, 0, width) for item in value]
        opening, closing = "[]"
    body = ",\n".join(deeper + item for item in items)
    return f"{opening}\n{body}\n{indent}{closing}"


def _reason(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


def _advice(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "make room on the disk"
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return "make its folder first"
    return "check that its folder can be written"
