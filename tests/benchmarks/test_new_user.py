"""The path of a new user is that of README."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.new_user import application, commands, table

README = (Path(__file__).parents[2] / "README.md").read_text()


def test_readme_has_the_commands_from_installing_to_exporting() -> None:
    found = commands(README)
    assert found[0].startswith("pip install -e")
    beginnings = [" ".join(line.split()[:2]) for line in found[1:]]
    assert beginnings.index("ecad-automl search") < beginnings.index("ecad-automl export")


def test_readmes_lines_are_run_with_the_file_that_was_exported() -> None:
    script = application(README, "schedules/shapes-2.50x-trial7.json")
    compile(script, "apply.py", "exec")
    assert "SCHEDULE = 'schedules/shapes-2.50x-trial7.json'" in script
    assert "with apply_schedule(pipe, SCHEDULE):" in script


def test_a_readme_without_the_block_is_told() -> None:
    with pytest.raises(ValueError, match="no block"):
        commands("# Nothing\n")


def test_the_table_has_each_step_and_what_was_promised() -> None:
    told = {"median": 1.9, "all": [1.8, 1.9, 2.0]}
    text = table(
        {
            "machine": {"processor": "p", "cores": 2, "python": "3.11"},
            "revision": "abc",
            "steps": [{"name": "ecad-automl search", "seconds": 100.0, "processor_seconds": 150.5}],
            "seconds to an applied schedule": 300.0,
            "of them download": 60.0,
            "result": {
                "schedule": "schedules/a.json",
                "MAC speedup promised": 2.1,
                "MAC speedup counted": 2.1,
                "times as fast": told,
                "times less processor time": told,
            },
            "load average at the end": 2.0,
        }
    )
    assert "| `ecad-automl search` | 100.0 | 150.5 |" in text
    assert "300 s, of which 60 s" in text
    assert "1.90 times as fast (1.80 to 2.00, 3 rounds)" in text
