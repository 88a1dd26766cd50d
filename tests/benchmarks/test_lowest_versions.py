from __future__ import annotations

from benchmarks.system.lowest_versions import counts, table

OUTPUT = """..F.s                                                                    [100%]
=================================== FAILURES ===================================
E       assert 3 passed in 4.00s
1 failed, 203 passed, 18 skipped, 3 deselected, 4 warnings, 1 error in 63.86s (0:01:03)
"""


def test_counts_are_those_of_the_last_line() -> None:
    assert counts(OUTPUT) == {"passed": 203, "skipped": 18, "xfailed": 0, "failed": 1, "errors": 1}
    assert counts("125 xfailed, 2 passed in 1.00s")["failed"] == 0
    assert counts("125 xfailed, 2 passed in 1.00s")["xfailed"] == 125
    assert counts("no module") == dict.fromkeys(("passed", "skipped", "xfailed", "failed", "errors"), 0)


def test_all_folders_are_added_up() -> None:
    lines = table({"b": counts(OUTPUT), "a": counts("2 passed in 1.00s")}).splitlines()
    assert lines[2:] == ["| a | 2 | 0 | 0 | 0 | 0 |", "| b | 203 | 18 | 0 | 1 | 1 |", "| all | 205 | 18 | 0 | 1 | 1 |"]
