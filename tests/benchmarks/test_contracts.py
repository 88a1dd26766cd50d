from __future__ import annotations

from io import StringIO
from pathlib import Path
from xml.etree import ElementTree as ET

from benchmarks.system.contracts import CONTRACTS, MENDED, counted, table

ROOT = Path(__file__).parents[2]

#: As pytest writes it.
REPORT = """<testsuites><testsuite>
<testcase name="a"/>
<testcase name="b"><failure message="1 is not 2"/></testcase>
<testcase name="c"><error message="no fixture"/></testcase>
<testcase name="d"><skipped type="pytest.skip" message="no server"/></testcase>
<testcase name="e"><skipped type="pytest.xfail" message="refused"/></testcase>
<testcase name="f"/>
</testsuite></testsuites>"""


def test_cases_are_counted_by_what_they_came_to() -> None:
    cases = counted(ET.parse(StringIO(REPORT)))
    assert cases == {"held": 2, "refused as they should be": 1, "skipped": 1, "failed": 2}
    name = next(iter(MENDED))
    lines = table({name: {"cases": cases}}).splitlines()
    assert f"| {name} | 6 | 2 | 1 | 1 | 2 | {len(MENDED[name])} |" in lines
    assert len([line for line in lines if line.startswith("- ")]) == 1


def test_contracts_are_tests_that_there_are() -> None:
    assert MENDED.keys() <= CONTRACTS.keys()
    for paths in CONTRACTS.values():
        assert all((ROOT / path).is_file() for path in paths)
