from __future__ import annotations

import re
from pathlib import Path

from ecad_automl.api import read_search_file
from ecad_automl.api.settings import table_keys

GUIDE = Path(__file__).parents[2] / "docs" / "python.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_the_config_file_of_the_guide_can_be_read(tmp_path: Path) -> None:
    (example,) = blocks("toml")
    (tmp_path / "search.toml").write_text(example)
    assert read_search_file(tmp_path / "search.toml").options()["calibration_prompts"] == 100


def test_the_guide_lists_all_keys_of_a_config_file() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    for name, keys in table_keys().items():
        if name != "method":  # those are fields of a class
            assert f"| `[{name}]` | {', '.join(f'`{key}`' for key in keys)} |\n" in text
