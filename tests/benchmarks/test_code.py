from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import code


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "search.py").write_text("def search():\n    from studies import seeds\n")
    (tmp_path / "studies" / "seeds.py").write_text('"""Seeds."""\nSEEDS = 3\n')
    (tmp_path / "studies" / "other.py").write_text("OTHER = 1\n")
    monkeypatch.setattr(code, "_ROOT", tmp_path)
    return tmp_path / "studies"


def digest() -> str:
    code.digest.cache_clear()
    return code.digest(("studies.search",))


def test_what_a_module_imports_counts_and_nothing_else(sources: Path) -> None:
    before = digest()
    (sources / "other.py").write_text("OTHER = 2\n")
    assert digest() == before
    (sources / "seeds.py").write_text('"""Seeds."""\nSEEDS = 4\n')
    assert digest() != before


def test_comments_and_docstrings_do_not_count(sources: Path) -> None:
    before = digest()
    (sources / "seeds.py").write_text('"""The seeds of a search."""\n\nSEEDS = 3  # as published\n')
    assert digest() == before


def test_what_only_type_checkers_import_does_not_count(sources: Path) -> None:
    (sources / "seeds.py").write_text("if TYPE_CHECKING:\n    from studies.other import OTHER\n")
    before = digest()
    (sources / "other.py").write_text("OTHER = 2\n")
    assert digest() == before


def test_weights_count(sources: Path, tmp_path: Path) -> None:
    found = set()
    for content in (b"a", b"b"):
        (tmp_path / "model.safetensors").write_bytes(content)
        code.digest.cache_clear()
        found.add(code.digest(("studies.search",), tmp_path))
    assert len(found) == 2


def test_modules_that_are_named_are_there() -> None:
    assert [name for name in code.DYNAMIC if code._file(name) is None] == []
    assert code.commit() != "unknown"


def test_what_is_said_of_runs_of_other_code_names_them_and_the_way_out() -> None:
    runs = {"FORA 2": {"commit": "abc"}, "quick": {}}
    assert "2 kept runs are of other code (FORA 2, quick; commits abc, unknown)" in code.of_other_code(
        runs, accepted=False
    )
    assert "--accept-other-code" in code.of_other_code(runs, accepted=False)
    assert "taken as they are" in code.of_other_code(runs, accepted=True)
