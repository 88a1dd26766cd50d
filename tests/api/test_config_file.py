from __future__ import annotations

import inspect
import json
import re
import tomllib
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path

import pytest
import typer

from ecad_automl import search
from ecad_automl.api import SearchFile, read_search_file, resolved_config
from ecad_automl.api.settings import SCHEMA, table_keys
from ecad_automl.errors import FileError, OptionError, StorageError
from ecad_automl.execution import Execution
from storage import Store
from studies.config import SETTINGS, SearchConfig

Cli = Callable[..., tuple[int, str, str]]

EXAMPLE = """\
# a search
[model]
model = "shapes"
guidance-scale = 3

[reward]
constraint = ["fidelity>=-0.05", "psnr>=20"]

[search]
evaluations = 40
race = false

[method]
pool = 99
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "search.toml"
    path.write_text(text)
    return path


def test_a_file_says_what_its_keys_say_and_nothing_else(tmp_path: Path) -> None:
    found = read_search_file(written(tmp_path, EXAMPLE))
    assert found.options() == {
        "model": "shapes",
        "guidance_scale": 3.0,
        "constraint": ["fidelity>=-0.05", "psnr>=20"],
        "evaluations": 40,
        "race": False,
        "pool": 99,
    }
    assert found.build(SearchConfig) == SearchConfig(evaluations=40, race=False, pool=99)


def test_a_file_that_is_written_reads_back_the_same(tmp_path: Path) -> None:
    text = EXAMPLE + '\n[prompts]\nprompts = "a \\"quoted\\" \\\\ name\\nof ünïcode.txt"\n'
    found = read_search_file(written(tmp_path, text))
    again = written(tmp_path, found.to_toml())
    assert read_search_file(again) == found
    assert tomllib.loads(again.read_text())["prompts"]["prompts"] == 'a "quoted" \\ name\nof ünïcode.txt'


def test_every_option_of_the_command_is_a_key_and_every_setting_without_one_too() -> None:
    from ecad_automl.cli.app import app

    command = typer.main.get_command(app)
    options = {param.name for param in command.commands["search"].params} - {
        "config",
        "preset",
        "help",
        "json_output",
        "wait",
        "dry_run",
        "quiet",
        "verbose",
    }  # type: ignore[attr-defined]
    keys = {key.replace("-", "_") for table, keys in table_keys().items() if table != "method" for key in keys}
    assert keys == options
    settings = {item.name.replace("_", "-") for item in fields(SearchConfig) if item.name not in options}
    assert set(table_keys()["method"]) == settings


@pytest.mark.parametrize("kind", [SearchConfig, Execution])
def test_settings_have_the_defaults_of_what_is_made_of_them(kind: type) -> None:
    assert SearchFile().build(kind) == kind()


def test_a_call_takes_settings_by_their_names() -> None:
    """But for those that it takes as objects, or together in one: config and execution."""
    keywords = set(inspect.signature(search).parameters) - {"pipe_or_model", "calls", "preset", "progress", "wait"}
    assert keywords - set(SearchFile().values()) == {"config", "execution", "constraints"}


def test_a_call_has_every_option_of_the_command() -> None:
    from ecad_automl.cli.commands import load_command

    of_output = {"json_output", "quiet", "verbose", "help", "dry_run"}  # estimate() in Python
    options = {param.name for param in load_command("search").params} - of_output
    called = {"model": "pipe_or_model", "constraint": "constraints"}
    assert {called.get(name or "", name) for name in options} <= set(inspect.signature(search).parameters)


def test_the_docstring_of_a_call_tells_its_keywords_in_order_and_their_defaults_as_they_are() -> None:
    arguments = (inspect.getdoc(search) or "").partition("Args:\n")[2].partition("\n\nReturns:")[0]
    told = dict(re.findall(r"^    (\w+): (.*?)(?=^    \w|\Z)", arguments, re.MULTILINE | re.DOTALL))
    assert list(told) == list(inspect.signature(search).parameters)
    numbers = {name: value for name, value in SearchFile().values().items() if name in told and type(value) is int}
    assert {"evaluations", "images_per_prompt", "seed", "batch_size", "offspring", "workers"} <= set(numbers)
    for name, value in numbers.items():
        assert re.search(rf"by default [^;]*\b{value}\b", told[name], re.DOTALL), name


@pytest.mark.parametrize(
    "config", [SearchConfig(), SearchConfig(race=False, min_rank_correlation=0.3), SearchConfig(race_share=0.5)]
)
def test_settings_come_back_as_they_were(config: SearchConfig) -> None:
    assert SearchFile.from_options(asdict(config)).build(SearchConfig) == config


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[search]\nevaluation = 3\n", r"line 2: \[search\] has no key 'evaluation'; did you mean 'evaluations'\?"),
        ("[search]\nimages_per_prompt = 3\n", r"line 2: \[search\] has no key 'images_per_prompt'"),
        ("[prompts]\n\nimages_per_prompt = 3\n", r"line 3: .* did you mean 'images-per-prompt'\?"),
        ("[search]\nzzz = 3\n", r"line 2: \[search\] has no key 'zzz'; choose one of 'storage', 'study'"),
        ("[model]\nreward = 'x'\n", r"line 2: the key 'reward' belongs under \[reward\], not \[model\]"),
        ("[serch]\nseed = 1\n", r"line 1: there is no table \[serch\]; did you mean \[search\]\?"),
        ("# top\nevaluations = 1\n", r"line 2: the key 'evaluations' stands outside of all tables; put it under"),
        ("colour = 1\n", r"line 1: there is no key 'colour'; did you mean 'column'\?"),
        ("model = 'shapes'\n", r"line 1: model is 'shapes', but a table is expected; write \[model\]"),
        (
            "[search]\nseed = 0\nevaluations = 'many'\n",
            r"line 3: evaluations in \[search\] is 'many', but a whole number",
        ),
        ("[search]\nevaluations = 2.5\n", r"line 2: evaluations in \[search\] is 2.5, but a whole number is expected"),
        ("[search]\nevaluations = 0\n", r"line 2: evaluations in \[search\] is 0, but a number of at least 1"),
        ("search.evaluations = 0\n", r"line 1: evaluations in \[search\] is 0"),
        ("search = {evaluations = 0}\n", r"toml: evaluations in \[search\] is 0"),
        ("[search]\nrace = 1\n", r"line 2: race in \[search\] is 1, but true or false is expected"),
        ("[search]\nevaluations = true\n", r"line 2: evaluations in \[search\] is true, but a whole number"),
        (
            "[reward]\ncost = 'dollars'\n",
            r"line 2: cost in \[reward\] is 'dollars', but one of 'gmacs' or 'latency' is",
        ),
        (
            "[reward]\nconstraint = 'psnr>=2'\n",
            r"line 2: constraint in \[reward\] is 'psnr>=2', but a list of texts is",
        ),
        ("[reward]\nconstraint = [3]\n", r"line 2: constraint in \[reward\] is 3, but a text in quotes is expected"),
        ("[model]\nguidance-scale = inf\n", r"line 2: guidance-scale in \[model\] is inf, but a finite number is"),
        ("[search\n", r"is no TOML: .*line 1"),
    ],
)
def test_a_fault_is_told_in_one_sentence_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(FileError, match=says) as caught:
        read_search_file(written(tmp_path, text))
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "search.toml") in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot be read"):
        read_search_file(tmp_path / "none.toml")
    with pytest.raises(FileError, match="cannot be read"):
        read_search_file(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b"[model]\nmodel = '\xe9'\n")
    with pytest.raises(FileError, match="not UTF-8"):
        read_search_file(tmp_path / "latin.toml")


def test_the_command_line_overrides_the_file_and_the_file_the_defaults(tmp_path: Path, run_cli: Cli) -> None:
    path = written(tmp_path, "[search]\nevaluations = 5\noffspring = 12\n[reward]\ncost = 'latency'\n")
    code, _, err = run_cli("search", "--config", path, "--storage", tmp_path / "s.db")
    assert code == 2
    assert "budget of 5 evaluations is below the offspring of one generation, 12" in err
    code, _, err = run_cli("search", "--evaluations", 9, "--config", path, "--storage", tmp_path / "s.db")
    assert "budget of 9 evaluations is below the offspring of one generation, 12" in err
    code, _, err = run_cli("search", "--config", path, "--evaluations", 12, "--cost", "dollars")
    assert "'dollars'" in err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"batch_size": 0}, "batch_size is 0, but a number of at least 1 is expected."),
        ({"guidance_scale": float("nan")}, "guidance_scale is nan, but a finite number is expected."),
        ({"seed": -1}, "seed is -1, but a number of at least 0 is expected."),
    ],
)
def test_an_option_out_of_range_is_told_in_one_sentence(options: dict[str, float], says: str) -> None:
    with pytest.raises(OptionError) as caught:
        SearchFile.from_options(options)
    assert str(caught.value) == says


def test_an_option_of_the_command_is_told_by_its_name(run_cli: Cli) -> None:
    err = run_cli("search", "--images-per-prompt", 0)[2]
    assert "--images-per-prompt is 0, but a number of at least 1 is expected." in err


def test_a_fault_of_the_file_ends_the_command_with_one_sentence(tmp_path: Path, run_cli: Cli) -> None:
    path = written(tmp_path, "[search]\nevaluation = 5\n")
    code, _, err = run_cli("search", "--config", path)
    assert code == 2
    assert err.startswith("Error: The config file ")
    assert len(err.strip().splitlines()) == 1


def test_a_study_without_settings_or_with_damaged_ones(tmp_path: Path) -> None:
    database = tmp_path / "s.db"
    with Store.open(database) as store:
        store.claim_study("s", {})
        with pytest.raises(StorageError, match="keeps no settings"):
            resolved_config(database)
        damaged = ({"settings": "lost"}, {"settings": {"model": []}}, {"settings": None})
        for kept, says in (
            (b"{", "cannot be read"),
            (json.dumps({"schema": "other/9"}).encode(), "'other/9'"),
            *((json.dumps({"schema": SCHEMA, **document}).encode(), "cannot be read") for document in damaged),
        ):
            store.save_calibration("s", SETTINGS, kept)
            with pytest.raises(StorageError, match=says):
                resolved_config(database)
        store.save_calibration("s", SETTINGS, SearchFile().to_bytes())
        assert resolved_config(database) == SearchFile()


def test_settings_that_this_version_lacks_are_left_out(tmp_path: Path) -> None:
    kept = json.loads(SearchFile.from_options({"seed": 3}).to_bytes())
    kept["settings"]["method"] = {"of-old": 4, "pool": 50}
    with Store.open(tmp_path / "s.db") as store:
        store.claim_study("s", {})
        store.save_calibration("s", SETTINGS, json.dumps(kept).encode())
    found = resolved_config(tmp_path / "s.db")
    assert found.to_dict() == {"search": {"seed": 3}, "method": {"pool": 50}}


def test_settings_of_before_there_were_offspring_are_read_in_their_names(tmp_path: Path) -> None:
    """Population was what a generation evaluates, and parents what breeds."""
    kept = {
        "schema": "ecad-automl/search/1",
        "settings": {"search": {"population": 5}, "method": {"parents": 12, "trust": 0.2}},
    }
    with Store.open(tmp_path / "s.db") as store:
        store.claim_study("s", {})
        store.save_calibration("s", SETTINGS, json.dumps(kept).encode())
    found = resolved_config(tmp_path / "s.db")
    assert found.to_dict() == {
        "search": {"offspring": 5, "population": 12},
        "method": {"min-rank-correlation": 0.2},
    }
