from __future__ import annotations

import runpy
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_table_of_families_is_what_the_code_says() -> None:
    made = runpy.run_path(str(DOCS / "make_families.py"))["text"]()
    page = (DOCS / "families.md").read_text()
    assert page == made, "run: python -m docs.make_families"
