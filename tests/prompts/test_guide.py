from __future__ import annotations

import re
from pathlib import Path

import datasets
import pytest

from ecad_automl.prompts import published_names
from ecad_automl.prompts.reading import SUFFIXES

GUIDE = Path(__file__).parents[2] / "docs" / "prompts.md"


def test_the_examples_of_the_guide_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 4
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    exec(compile("\n".join(blocks), str(GUIDE), "exec"), {})


def test_the_guide_names_every_set_and_suffix() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in (*published_names(), *SUFFIXES))
