"""What commands say, how much of it, and where: standard output and error, terminals, pipes, 80 columns."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from ecad_automl.api.terminal import wrapped
from ecad_automl.cli import main
from tests import commands
from tests.cli.made_up_study import IDENTITY, SCHEDULES, save_shorter, save_study
from tests.forked import Forked

Cli = Callable[..., tuple[int, str, str]]
Run = Callable[..., "subprocess.CompletedProcess[str]"]

COMMAND = Path(sys.executable).with_name("ecad-automl")
ESCAPE = re.compile(r"\x1b\[")
COLOR = re.compile(r"\x1b\[(?:\d+;)*(?:[349][0-7]|38|48)[;m]")


def on_a_terminal(*arguments: object, **environment: str) -> str:
    """All that a command shows on a terminal."""
    ours, theirs = pty.openpty()

    def run() -> None:
        os.dup2(theirs, 1)
        os.dup2(theirs, 2)
        for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
            os.environ.pop(name, None)
        os.environ.update({"TERM": "xterm", **environment})
        sys.argv = ["ecad-automl", *map(str, arguments)]
        main()

    commands.preload()
    process = Forked(run)
    os.close(theirs)
    shown = b""
    try:
        while block := os.read(ours, 65536):
            shown += block
    except OSError:  # the other side is closed
        pass
    process.communicate()
    os.close(ours)
    assert process.returncode in (0, 2), shown
    return shown.decode()


@pytest.mark.parametrize("arguments", [("front",), ("front", "--confirmed")])
def test_tables_fit_80_columns_and_nothing_of_them_is_cut(
    made_database: Path, run_process: Run, arguments: tuple[str, ...]
) -> None:
    done = run_process(*arguments, "--storage", made_database)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in done.stdout
    (row,) = (line for line in lines if line.replace("*", "").split()[:2] == ["1", "fora-2"])
    assert "2.00x" in row.split()
    assert ("-0.5000 ±0.1271" if len(arguments) == 1 else "no: 2 steps") in row


def test_a_front_of_several_steps_tells_what_is_done_and_fits_too(made_database: Path, run_cli: Cli) -> None:
    save_shorter(made_database)
    _, out, _ = run_cli("front", "--storage", made_database, columns=80)
    lines = out.splitlines()
    assert max(map(len, lines)) <= 80
    (heading,) = (line.split() for line in lines if line.startswith("trial"))
    assert heading[2:9] == ["MACs", "GMACs", "steps", "run", "guided", "slots", "reward"]
    (row,) = (line.replace("*", "").split() for line in lines if line.split()[:1] in (["9"], ["9*"]))
    assert row == ["9", "bred", "2.67x", "6.00", "3", "2", "1", "100%", "0.9500", "-0.0500", "±0.1271"]
    assert "Guided: those of both guidance branches." in out

    _, out, _ = run_cli("front", "--storage", made_database, "--same-steps", columns=80)
    assert [line.replace("*", "").split()[0] for line in out.splitlines() if "x " in line and ":" not in line] == [
        "1",
        "2",
        "0",
        "uncached",
    ]
    assert "steps run" not in out


def test_a_table_of_times_fits_too(tmp_path: Path, run_cli: Cli) -> None:
    from dataclasses import replace

    from storage import Store

    path = tmp_path / "timed.db"
    save_study(path, IDENTITY | {"cost": {"name": "latency", "batch_size": 1}}, SCHEDULES)
    with Store.open(path) as store:
        for record in store.evaluations("made"):
            store.save_evaluation("made", replace(record, gmacs=12345.678, latency_ms=4321.0))
        for baseline in store.baselines("made").values():
            store.save_baseline("made", replace(baseline, gmacs=12345.678, latency_ms=4321.0))
    code, out, err = run_cli("front", "--storage", path, columns=80)
    assert code == 0, err
    assert max(map(len, out.splitlines())) <= 80
    assert "12345.68" in out
    assert "4321" in out


def test_a_long_path_stays_in_one_line(made_database: Path, tmp_path: Path, run_cli: Cli) -> None:
    folder = tmp_path / "a folder with spaces in its name" / ("long-" * 20)
    _, out, _ = run_cli("plot", "--storage", made_database, "--out", folder, columns=80)
    assert out.splitlines() == [str(folder / f"made-{kind}.png") for kind in ("front", "hypervolume", "confirmed")]


def test_help_fits_80_columns_and_cuts_no_option(run_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from ecad_automl.cli.commands import COMMANDS

    monkeypatch.setattr("shutil.get_terminal_size", lambda *_, **__: os.terminal_size((80, 24)))
    code, out, _ = run_cli("--help")
    assert code == 0
    assert "..." not in out.partition("Commands:")[2]
    for command in (None, *COMMANDS):
        code, out, _ = run_cli(*filter(None, [command]), "--help")
        assert code == 0
        assert max(map(len, out.splitlines())) <= 80
        assert "\u2026" not in out


def test_words_are_kept_whole_and_lines_fit() -> None:
    text = wrapped("Scores are kept in /a b/scores.db, one for each image of each run.", 30, ["/a b/scores.db"])
    assert text == "Scores are kept in\n/a b/scores.db, one for each\nimage of each run."
    assert wrapped("x" * 50 + " y\n\n  indented", 20) == "x" * 50 + "\ny\n\n  indented"


@pytest.fixture
def repeated(tmp_path: Path) -> tuple[object, ...]:
    """A search that says that a prompt is left out, and fails before it loads anything."""
    (tmp_path / "prompts.txt").write_text("a cat\na cat\na dog\n")
    return "search", "--prompts", tmp_path / "prompts.txt", "--calibration-prompts", 9, "--storage", tmp_path / "s.db"


def test_colors_go_by_no_color_and_by_the_terminal(repeated: tuple[object, ...]) -> None:
    assert COLOR.search(on_a_terminal(*repeated))
    assert not COLOR.search(on_a_terminal(*repeated, NO_COLOR="1"))
    assert not ESCAPE.search(on_a_terminal(*repeated, TERM="dumb"))


def test_quiet_leaves_results_and_errors(run_cli: Cli, repeated: tuple[object, ...], made_database: Path) -> None:
    code, out, err = run_cli(*repeated)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 2
    for quiet in (run_cli("--quiet", *repeated), run_cli(*repeated, "-q")):
        assert (quiet[0], quiet[1]) == (2, "")
        assert quiet[2] == err.splitlines(keepends=True)[-1]
    told = run_cli("front", "--storage", made_database)
    assert run_cli("-q", "front", "--storage", made_database) == told


def test_verbose_logs_what_is_done_to_standard_error(run_cli: Cli, made_database: Path, tmp_path: Path) -> None:
    arguments = ("plot", "--storage", made_database, "--out", tmp_path)
    told = run_cli(*arguments)
    for verbose in (run_cli("--verbose", *arguments), run_cli(*arguments, "-v")):
        assert verbose[:2] == told[:2]
        assert re.search(r"^\d\d:\d\d:\d\d\.\d{3} ecad_automl\.cli: Drawing: \d+\.\d\d s$", verbose[2], re.MULTILINE)
    assert told[2] == ""
    failed = run_cli("front", "-v", "--storage", tmp_path / "none.db")
    assert "Traceback" in failed[2]
    assert failed[2].splitlines()[-1].startswith("Error: There is no study database")


def test_warnings_of_libraries_are_for_the_log_and_ours_for_all_but_the_quiet(
    run_cli: Cli, made_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import logging
    import warnings

    from ecad_automl.errors import NoAdapterWarning

    read = import_module("ecad_automl.cli.front").read_study  # type: ignore[attr-defined]

    def warn(*arguments: object, **named: object) -> object:
        warnings.simplefilter("default")
        warnings.warn("of a library", FutureWarning, stacklevel=2)
        warnings.warn("of ours", NoAdapterWarning, stacklevel=2)
        logging.getLogger("some.library").warning("logged")
        return read(*arguments, **named)

    monkeypatch.setattr(import_module("ecad_automl.cli.front"), "read_study", warn)
    monkeypatch.setattr("ecad_automl.cli.verbosity._ROOT", Path("/elsewhere"))
    arguments = ("front", "--storage", made_database)
    assert run_cli(*arguments)[2] == "Warning: of ours\n"
    assert run_cli(*arguments, "-q")[2] == ""
    verbose = run_cli(*arguments, "-v")[2]
    for text in ("FutureWarning: of a library", "Warning: of ours", "some.library: logged"):
        assert text in verbose


@pytest.mark.parametrize("arguments", [("front",), ("front", "--json"), ("--help",)])
def test_a_reader_that_goes_away_ends_it_quietly(made_database: Path, arguments: tuple[str, ...]) -> None:
    storage = () if "--help" in arguments else ("--storage", str(made_database))
    with subprocess.Popen(
        [COMMAND, *arguments, *storage], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        told = process.stderr.read()
    assert (process.returncode, told) == (141, "")


def test_exit_codes(run_cli: Cli, made_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.metadata

    storage = ("--storage", made_database)
    assert run_cli()[:2] == (2, "")
    assert run_cli("--version") == (0, f"ecad-automl {importlib.metadata.version('ecad-automl')}\n", "")
    for wrong, says in (
        (("front", "--foo"), "No such option"),
        (("fornt",), "Did you mean 'front'?"),
        (("front", *storage, "-q", "-v"), "contradict each other"),
        (("describe",), "Missing argument"),
        (("plot", *storage, "--out", made_database), "cannot be written"),
        (("export", *storage, "--out", made_database), "cannot be written"),
    ):
        code, out, err = run_cli(*wrong)
        assert (code, out) == (2, ""), wrong
        assert says in err
        assert err.startswith("Error: ")
        assert err.count("\n") == 1
    # Typer before 0.26 takes the sentence from click, which writes it otherwise.
    assert re.search("No such option:? '?--foo'?; see `", run_cli("front", "--foo")[2])

    front = import_module("ecad_automl.cli.front")
    monkeypatch.setattr(front, "read_study", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    assert run_cli("front") == (130, "", "Stopped.\n")
    # A fault of the program keeps its traceback; Python then ends with 1.
    monkeypatch.setattr(front, "read_study", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run_cli("front")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_output_that_a_full_disk_cannot_hold_is_an_error(made_database: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [COMMAND, "front", "--storage", str(made_database), "--json"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "No space left on device" in done.stderr
