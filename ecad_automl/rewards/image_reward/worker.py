"""Scores with the package image-reward, in an interpreter that has it; started by :class:`PackagedImageReward`.

It needs that package, NumPy and Pillow, but not this project: it is run by its path, and loads two files of this
project by theirs. It reads requests from standard input and answers on standard output, see :mod:`.frames`.
"""

from __future__ import annotations

import os
import runpy
import sys
from importlib import import_module
from pathlib import Path
from typing import IO, Any

_HERE = Path(__file__).resolve().parent


def main() -> None:
    """Load the model that the first message names, then answer requests until standard input is closed."""
    # This folder, which Python puts in front, has files with names that packages use too.
    sys.path = [entry for entry in sys.path if not entry or Path(entry).resolve() != _HERE]
    frames = runpy.run_path(str(_HERE / "frames.py"))
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the package prints must not get among the answers
    try:
        model, digest = _load(frames["read_message"](requests))
    except Exception as error:  # noqa: BLE001 - whatever the package raises is for the other side to report
        frames["write_message"](answers, {"error": _described(error)})
        return
    frames["write_message"](answers, {"digest": digest})
    while True:
        try:
            request = frames["read_message"](requests)
            levels = frames["read_frame"](requests)
        except EOFError:
            return
        _answer(model, request, levels, answers, frames)


def _load(order: dict[str, Any]) -> tuple[Any, str]:
    given = {name: order[name] for name in ("device", "med_config") if order[name] is not None}
    model = import_module("ImageReward").load(order["model"], **given)
    hash_state = runpy.run_path(str(_HERE.parents[1] / "files" / "weights.py"))["hash_state"]
    return model, hash_state(model.state_dict())


def _answer(model: Any, request: dict[str, Any], levels: bytes, answers: IO[bytes], frames: dict[str, Any]) -> None:
    import numpy as np

    try:
        pictures = _pictures(request["sizes"], levels)
        scores = [float(model.score(text, picture)) for text, picture in zip(request["prompts"], pictures)]  # noqa: B905
    except Exception as error:  # noqa: BLE001 - as above
        frames["write_message"](answers, {"error": _described(error)})
        return
    frames["write_message"](answers, {})
    frames["write_frame"](answers, np.asarray(scores, dtype="<f8").tobytes())


def _pictures(sizes: list[list[int]], levels: bytes) -> list[Any]:
    from PIL import Image

    pictures, start = [], 0
    for height, width in sizes:
        end = start + height * width * 3
        pictures.append(Image.frombytes("RGB", (width, height), levels[start:end]))
        start = end
    return pictures


def _described(error: Exception) -> str:
    return "{}: {}".format(type(error).__name__, " ".join(str(error).split())[:500])


if __name__ == "__main__":
    main()
