"""The files of a pipeline, made the same everywhere."""

from __future__ import annotations

import json
from pathlib import Path

__all__ = ["tidy"]


def tidy(folder: Path) -> None:
    """Make the files the same wherever and with whatever versions they were written."""
    # transformers 5 calls the class TokenizersBackend, which earlier versions do not know; the old name works in all.
    index = folder / "model_index.json"
    index.write_text(index.read_text().replace("TokenizersBackend", "PreTrainedTokenizerFast"))
    for path in (index, *folder.glob("*/*config.json")):
        config = json.loads(path.read_text())
        if config.pop("_name_or_path", None) is not None:
            path.write_text(json.dumps(config, indent=2) + "\n")
