"""Exports that are shared: the index, the card, the hub, and the lines of Python that are printed."""

from __future__ import annotations

import re
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from PIL import Image

from ecad_automl import load_schedule
from ecad_automl.hub import load_index, schedule_paths
from tests.sharing.test_guide import blocks
from tests.sharing.test_push import StandIn

Cli = Callable[..., tuple[int, str, str]]

PROMPTS = ['a "large" solid red circle', "a small hollow blue square"]


@pytest.fixture(scope="module")
def database(tiny_pixart_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of a short search, whose study has a name that looks like markup."""
    from ecad_automl.models import load_model
    from ecad_automl.rewards import load_reward
    from studies import SearchConfig, SearchJob, run_search

    path = tmp_path_factory.mktemp("shared") / "study.db"
    model = load_model(str(tiny_pixart_folder), device="cpu")
    model = model.with_settings(steps=4, height=16, width=16, max_sequence_length=8)
    config = SearchConfig(evaluations=6, offspring=4, heuristics="all", step_seeds=0)
    run_search(SearchJob(model, PROMPTS, load_reward("fidelity"), path, "[bold]tiny", config=config))
    return path


def snippet(out: str) -> str:
    """The lines of Python at the end of what export prints."""
    heading, _, program = out.partition("\nTo apply ")
    assert heading
    return program.partition(":\n\n")[2]


@pytest.mark.parametrize("choice", [(), ("--front",), ("--speedup", "1.5")])
def test_exactly_the_printed_lines_draw_an_image_under_the_schedule_that_they_name(
    database: Path, tmp_path: Path, run_cli: Cli, monkeypatch: pytest.MonkeyPatch, choice: tuple[str, ...]
) -> None:
    import ecad_automl.runtime.apply as module

    code, out, err = run_cli("export", "--storage", database, "--out", tmp_path / "schedules", *choice)
    assert code == 0, err
    program = snippet(out)
    assert program.startswith("import torch\nfrom diffusers import DiffusionPipeline\n")
    entered: list[Any] = []
    enter = module.ScheduleHandle.__enter__

    def note(handle: Any) -> Any:
        entered.append(handle)
        return enter(handle)

    monkeypatch.setattr(module.ScheduleHandle, "__enter__", note)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(program, "snippet", "exec"), names)
    with Image.open(tmp_path / "image.png") as image:
        assert image.size == (16, 16)
    named = re.search(r"^To apply (.*):$", out, re.MULTILINE)
    assert named is not None
    assert [handle.schedule for handle in entered] == [load_schedule(tmp_path / "schedules" / named[1]).schedule]
    assert type(names["pipe"]).__name__ == "PixArtAlphaPipeline"


def test_exported_files_say_how_the_pipeline_was_called_and_judged(
    database: Path, tmp_path: Path, run_cli: Cli
) -> None:
    run_cli("export", "--storage", database, "--out", tmp_path, "--knee")
    (path,) = schedule_paths(tmp_path)
    metadata = load_schedule(path).metadata
    assert metadata.call["max_sequence_length"] == 8
    assert (metadata.call["height"], metadata.call["num_inference_steps"]) == (16, 4)
    assert metadata.reward == "fidelity"


def test_a_whole_front_is_exported_with_an_index(database: Path, tmp_path: Path, run_cli: Cli) -> None:
    code, out, _ = run_cli("export", "--storage", database, "--front", "--out", tmp_path)
    assert code == 0
    index = load_index(tmp_path)
    assert [tmp_path / entry.file for entry in index] == [
        Path(line.split(": ")[0]) for line in out.splitlines()[: len(index)]
    ]
    assert {entry.file for entry in index} == {path.name for path in schedule_paths(tmp_path)}
    for entry in index:
        file = index.load(entry)
        assert entry.gmacs == pytest.approx(file.metadata.objectives["gmacs"].value)
        assert entry.reward_difference == file.metadata.objectives["reward_difference"]
    assert f"{tmp_path / 'index.json'}: the list of these {len(index)}" in out
    assert not (tmp_path / "README.md").exists()
    cheapest = max(index, key=lambda entry: entry.speedup)
    assert index.by_speedup(cheapest.speedup) == cheapest


def test_one_schedule_has_no_index_and_leaves_that_of_its_folder(database: Path, tmp_path: Path, run_cli: Cli) -> None:
    run_cli("export", "--storage", database, "--out", tmp_path / "one", "--knee")
    assert [path.suffix for path in (tmp_path / "one").iterdir()] == [".json"]
    run_cli("export", "--storage", database, "--front", "--out", tmp_path / "all")
    before = (tmp_path / "all" / "index.json").read_bytes()
    run_cli("export", "--storage", database, "--out", tmp_path / "all", "--knee")
    assert (tmp_path / "all" / "index.json").read_bytes() == before
    for entry in (index := load_index(tmp_path / "all")):
        index.load(entry)


def test_without_a_choice_the_recommended_schedule_is_exported_and_its_reason_told(
    database: Path, tmp_path: Path, run_cli: Cli
) -> None:
    from ecad_automl.api import Front

    front = Front.load(database)
    code, out, _ = run_cli("export", "--storage", database, "--out", tmp_path)
    assert code == 0
    (path,) = schedule_paths(tmp_path)
    assert front.recommended is not None
    assert load_schedule(path).schedule == front.recommended.schedule
    assert f"Recommended: {front.recommendation}. --front writes the whole front." in out


def test_one_prompt_stands_in_all_examples_of_a_study(database: Path, tmp_path: Path, run_cli: Cli) -> None:
    from ecad_automl.api.stored import read_study
    from ecad_automl.views.notes import schedule_note

    study = read_study(database, None)
    assert run_cli("export", "--storage", database, "--out", tmp_path, "--card")[0] == 0
    assert run_cli("report", "--storage", database, "--out", tmp_path / "report.html")[0] == 0
    note = schedule_note(study, next(run for run in study.front if run.trial is not None), {})
    for text in (*((tmp_path / name).read_text() for name in ("README.md", "report.html")), note):
        assert study.sample_prompt.rpartition('"')[2] in text  # however quotes are written there
        assert "red ball" not in text


def test_what_was_stopped_early_is_not_exported(database: Path, tmp_path: Path, run_cli: Cli) -> None:
    from dataclasses import replace

    from ecad_automl.api import Front
    from storage import Store

    front = Front.load(database)
    with Store.open(database) as store:
        (first, *_) = [record for record in store.evaluations(front.study) if record.trial is not None]
        store.save_evaluation(front.study, replace(first, complete=False))
    code, _, err = run_cli("export", "--storage", database, "--trial", first.trial, "--out", tmp_path / "out")
    assert code == 2
    assert "was stopped after part of its images" in err
    assert not (tmp_path / "out").exists()


def test_a_card_is_written_on_request_and_does_not_replace_a_person_s(
    database: Path, tmp_path: Path, run_cli: Cli
) -> None:
    for choice in (("--front",), ()):
        code, out, _ = run_cli("export", "--storage", database, "--out", tmp_path / "a", "--card", *choice)
        assert code == 0
        assert f"{tmp_path / 'a' / 'README.md'}: model card" in out
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "README.md").write_text("# My project\n")
    code, _, err = run_cli("export", "--storage", database, "--out", tmp_path / "b", "--card")
    assert code == 2
    assert "written or edited by a person; move it away" in err
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["README.md"]
    assert (tmp_path / "b" / "README.md").read_text() == "# My project\n"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    stand_in = StandIn(tmp_path / "hub")
    monkeypatch.setattr(huggingface_hub, "HfApi", stand_in)
    return stand_in


def test_exports_are_pushed_to_the_hub(database: Path, tmp_path: Path, run_cli: Cli, hub: StandIn) -> None:
    arguments = ("export", "--storage", database, "--out", tmp_path / "out", "--push-to-hub")
    code, out, err = run_cli(*arguments, "user/front", "--front", "--private")
    assert code == 0, err
    pushed, written = hub.root / "user" / "front", tmp_path / "out"
    assert {path.name for path in pushed.iterdir()} == {path.name for path in written.iterdir()} | {"README.md"}
    assert hub.calls[1] == ("create_repo", {"private": True, "exist_ok": True})
    assert "Pushed: https://hub.example/user/front/c0" in out
    code, out, _ = run_cli(*arguments, "user/one", "--knee", "--no-card")
    assert code == 0
    assert [path.name for path in (hub.root / "user" / "one").iterdir()] == ["schedule.json"]
    assert 'Anyone who may see it: apply_schedule(pipe, "user/one")' in out


def test_bad_options_are_one_sentence(database: Path, tmp_path: Path, run_cli: Cli, hub: StandIn) -> None:
    for arguments, message in {
        ("--private",): "--private says how --push-to-hub makes a repository",
        ("--push-to-hub", "nowhere"): "'nowhere' is no repository to push to",
    }.items():
        code, _, err = run_cli("export", "--storage", database, "--out", tmp_path / "out", *arguments)
        assert code == 2
        assert message in err
        assert len(err.strip().splitlines()) == 1
    assert not hub.calls


def test_exports_and_reading_them_import_no_torch(database: Path, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        f"sys.argv = ['ecad-automl', 'export', '--storage', {str(database)!r}, '--out', {str(tmp_path)!r}, '--card']\n"
        "from ecad_automl.cli import main\n"
        "try: main()\n"
        "except SystemExit as stop: assert not stop.code\n"
        "heavy = {'torch', 'diffusers', 'transformers', 'optuna', 'lightgbm', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_commands_of_the_guide_are_ones_that_export_takes(
    database: Path, tmp_path: Path, run_cli: Cli, monkeypatch: pytest.MonkeyPatch, hub: StandIn
) -> None:
    # A plain copy would miss what is still in the log beside the file.
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(tmp_path / "shapes.db")) as copy:
        source.backup(copy)
    monkeypatch.chdir(tmp_path)
    commands = [*blocks("sh", run=True), *blocks("sh", run=False)]
    lines = [line for text in commands for line in text.splitlines()]
    assert len(lines) == 3
    for line in lines:
        # The few schedules of the short search do not save as much.
        program, *arguments = shlex.split(line.replace("--speedup 2", "--speedup 1.2"))
        code, _, err = run_cli(*arguments)
        assert (program, code) == ("ecad-automl", 0), err
    assert (tmp_path / "front" / "README.md").exists()
    assert (hub.root / "user" / "repo" / "schedule.json").exists()
    assert load_index(hub.root / "user" / "front")
