"""What the command line imports before anything is asked of it: seconds that every use would wait."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ecad_automl.cli.commands import COMMANDS, EXAMPLES, load_command

#: None of them is needed to list commands, or to say what one takes.
SLOW = {"torch", "diffusers", "transformers", "optuna", "pandas", "sqlite_utils", "sqlalchemy", "matplotlib", "scipy"}
#: Nor these for the list.
PROGRAM = SLOW | {"numpy", "pydantic", "storage", "studies", "surrogate"}


def imported(*arguments: str) -> set[str]:
    code = (
        "import sys, atexit\n"
        "atexit.register(lambda: sys.stderr.write(' '.join(sorted({m.partition('.')[0] for m in sys.modules}))))\n"
        f"sys.argv = ['ecad-automl', *{arguments!r}]\n"
        "from ecad_automl.cli import main\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Usage: ")
    return set(done.stderr.split())


def test_the_list_of_commands_needs_no_command() -> None:
    found = imported("--help")
    assert {"typer", "rich"} <= found
    assert not found & PROGRAM


@pytest.mark.parametrize("command", ["search", "evaluate", "export", "front"])
def test_help_of_a_command_imports_nothing_slow(command: str) -> None:
    assert not imported(command, "--help") & SLOW


def test_every_command_has_an_example_that_it_takes() -> None:
    import shlex

    assert list(EXAMPLES) == list(COMMANDS)
    for name, example in EXAMPLES.items():
        assert max(map(len, example.splitlines())) <= 76
        program, called, *arguments = shlex.split(example.replace("\\\n", " "))
        assert (program, called) == ("ecad-automl", name)
        load_command(name).make_context(name, arguments)  # an error where it takes none


def test_help_begins_with_an_example_and_groups_options() -> None:
    import typer

    command = load_command("search")
    with typer.Context(command, info_name="search") as context:  # type: ignore[attr-defined]
        text = command.get_help(context)
    usage, example, model, prompts = map(text.index, ("Usage:", "Example:", "\nModel:\n", "\nPrompts:\n"))
    assert usage < example < model < prompts
    assert text.index("  --guidance-scale ") < prompts < text.index("  --calibration-prompts ")
    assert "\\[" not in text
