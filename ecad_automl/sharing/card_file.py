"""The file of a model card: one that a person wrote or edited is not replaced unasked."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from ecad_automl.errors import FileError
from ecad_automl.files.json_file import write_text

#: The model card.
CARD = "README.md"

_SEAL = re.compile(r"<!-- written by ecad-automl, unchanged while this is its hash: ([0-9a-f]{64}) -->\n?\Z")


def sealed(text: str) -> str:
    """A card with the hash of its text in a last line that readers do not see."""
    text = f"{text}\n"
    return f"{text}<!-- written by ecad-automl, unchanged while this is its hash: {_digest(text)} -->\n"


def replaceable(text: str) -> bool:
    """Whether a card is as :func:`sealed` made it, so that nobody's words are lost with it."""
    text = text.replace("\r\n", "\n")
    seal = _SEAL.search(text)
    return seal is not None and seal[1] == _digest(text[: seal.start()])


def check_card(folder: Path, replace: bool | None) -> None:
    """See to it that :func:`write_card` would not replace what a person wrote.

    Args:
        folder: where the card is to be.
        replace: True replaces any card.

    Raises:
        FileError: there is a card of other origin, and ``replace`` is not True.
    """
    path = folder / CARD
    if replace or not path.is_file():
        return
    try:
        old = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise FileError(f"{path} cannot be read ({error.strerror}); check its permissions.") from error
    if not replaceable(old):
        raise FileError(
            f"{path} was written or edited by a person; move it away, or leave the card out (in Python card=False, "
            "or card=True to replace it)."
        )


def write_card(folder: Path, text: str, replace: bool | None) -> None:
    """Write a card.

    Raises:
        FileError: see :func:`check_card`, or the file cannot be written.
    """
    check_card(folder, replace)
    write_text(folder / CARD, sealed(text), "model card")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
