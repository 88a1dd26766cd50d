"""The path of a new user is that of README."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.system.new_user import Step, application, commands, quick_application, table, totals

README = (Path(__file__).parents[2] / "README.md").read_text()


def test_readme_has_the_commands_from_installing_to_exporting() -> None:
    found = commands(README)
    assert found[0].startswith("pip install -e")
    beginnings = [" ".join(line.split()[:2]) for line in found[1:]]
    assert beginnings.index("ecad-automl search") < beginnings.index("ecad-automl export")


def test_readme_applies_a_schedule_of_quick() -> None:
    script = quick_application(README)
    compile(script, "quick.py", "exec")
    assert 'apply_schedule(pipe, "quick/' in script
    with pytest.raises(ValueError, match="no Python that applies"):
        quick_application("# Nothing\n")


def test_each_way_to_a_schedule_takes_its_own_steps() -> None:
    steps = [
        Step("git clone", 1.0, 0.5, ("quick", "search")),
        Step("quick", 10.0, 8.0, ("quick",)),
        Step("search", 100.0, 90.0, ("search",)),
        Step("check", 1000.0, 900.0),
    ]
    assert totals(steps) == {
        "quick": {"of wall time": 11.0, "of processor time": 8.5},
        "search": {"of wall time": 101.0, "of processor time": 90.5},
    }


def test_the_lines_that_an_export_prints_are_run_and_checked() -> None:
    printed = (
        "schedules/a.json: 2.50x fewer MACs\n\nTo apply a.json:\n\n"
        "from ecad_automl import apply_schedule, load_model\n\n"
        'pipe = load_model("shapes").pipe\n\n'
        'with apply_schedule(pipe, "schedules/a.json"):\n    image = pipe("a circle").images[0]\n'
    )
    script = application(printed)
    compile(script, "apply.py", "exec")
    assert script.startswith("from ecad_automl import apply_schedule")
    assert 'SCHEDULE = "schedules/a.json"' in script
    with pytest.raises(ValueError, match="printed no lines"):
        application("schedules/a.json: 2.50x fewer MACs\n")


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
            "seconds to an applied schedule": {
                "quick": {"of wall time": 60.4, "of processor time": 50.0},
                "search": {"of wall time": 300.0, "of processor time": 400.0},
            },
            "result": {
                "schedule": "schedules/a.json",
                "MAC speedup promised": 2.1,
                "MAC speedup counted": 2.1,
                "times as fast": told,
                "times less processor time": told,
            },
            "load average": [1.0, 2.0],
        }
    )
    assert "| `ecad-automl search` | 100.0 | 150.5 |" in text
    assert "by `quick`, the environment apart: 60 s, 50 s of processor time" in text
    assert "load average 1.0 before and 2.0 after" in text
    assert "1.90 times as fast (1.80 to 2.00, 3 rounds)" in text
