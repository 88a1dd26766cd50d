"""Scores with the package image-reward, in an interpreter that has it; started by :class:`PackagedImageReward`.

It needs that package, NumPy and Pillow, but not this project: it is run by its path, and loads one file of this
project by its. Requests on standard input and answers on standard output are JSON objects, one a line.
"""

from __future__ import annotations

import base64
import json
import os
import runpy
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

_HERE = Path(__file__).resolve().parent


def main() -> None:
    """Load the model that the first message names, then answer requests until standard input is closed."""
    # This folder, which Python puts in front, has files with names that packages use too.
    sys.path = [entry for entry in sys.path if not entry or Path(entry).resolve() != _HERE]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the package prints must not get among the answers
    model = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if model is None:
                model, answer = _load(request)
            else:
                answer = {"scores": [_score(model, prompt, *picture) for prompt, picture in request["pairs"]]}
        except Exception as error:  # noqa: BLE001 - whatever the package raises is for the other side to report
            answer = {"error": "{}: {}".format(type(error).__name__, " ".join(str(error).split())[:500])}
        print(json.dumps(answer), file=answers, flush=True)


def _load(order: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    given = {name: order[name] for name in ("device", "med_config") if order[name] is not None}
    model = import_module("ImageReward").load(order["model"], **given)
    hash_state = runpy.run_path(str(_HERE.parents[1] / "files" / "weights.py"))["hash_state"]
    return model, {"digest": hash_state(model.state_dict())}


def _score(model: Any, prompt: str, width: int, height: int, levels: str) -> float:
    from PIL import Image

    return float(model.score(prompt, Image.frombytes("RGB", (width, height), base64.b64decode(levels))))


if __name__ == "__main__":
    main()
