from __future__ import annotations

from pathlib import Path

import pytest

from ecad_automl.runtime.families import FAMILIES
from tests.runtime.cases import ALL_CASES

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def docs_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


def test_the_table_of_families_is_what_the_code_says() -> None:
    from scripts.docs.make_families import text

    assert (ROOT / "docs" / "families.md").read_text() == text(), "run: python -m scripts.docs.make_families"


def test_results_of_all_cases_and_families_are_recorded() -> None:
    from scripts.docs.conformance import PROPERTIES, load

    results = load()
    *of_cases, of_families = PROPERTIES
    cases = {name: list(case["properties"]) for name, case in results["cases"].items()}
    families = {name: list(family["properties"]) for name, family in results["families"].items()}
    again = "run: python -m scripts.docs.make_families --run"
    assert cases == dict.fromkeys(ALL_CASES, of_cases), again
    assert families == {name: [of_families] for name in FAMILIES}, again
