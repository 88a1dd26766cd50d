from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[2] / "docs" / "sharing.md"

BLOCK = re.compile(
    r"^(?P<mark>\*Not run in the tests: [^\n]*\*\n\n)?```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


def blocks(language: str, *, run: bool) -> list[str]:
    """The blocks of the guide in a language, those that run or those that are marked as not run."""
    found = BLOCK.finditer(GUIDE.read_text(encoding="utf-8"))
    return [block["text"] for block in found if block["language"] == language and (block["mark"] is None) == run]


def test_the_examples_of_the_guide_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = blocks("python", run=True)
    assert len(programs) == 5
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for program in programs:
        exec(compile(program, str(GUIDE), "exec"), names)
    # What is not run is at least Python, and names what the guide has made.
    for program in blocks("python", run=False):
        assert "user/repo" in program
        tree = ast.parse(program)
        assert {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} <= names.keys()
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert hasattr(names[node.value.id], node.attr)


def test_the_guide_tells_the_bounds_and_versions_that_the_code_has() -> None:
    from ecad_automl.schedules.schedule_file import MAX_SCHEDULE_BYTES, SCHEMA

    text = GUIDE.read_text(encoding="utf-8")
    assert f"at most {MAX_SCHEDULE_BYTES // 2**20} MiB" in text
    assert f"`{SCHEMA}`" in text
