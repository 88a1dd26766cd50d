"""``ecad-automl dashboard``: what it writes, and what people see in a real browser."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import shutil
import signal
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from PIL import Image

from benchmarks.made_up_study import made_up_study
from ecad_automl.api.stored import read_study
from storage import writer_lock
from tests.browser import Watched, browser, page
from tests.forked import Forked

pytest.importorskip("optuna_dashboard", reason="optuna-dashboard is not installed")
pytest.importorskip("plotly", reason="plotly is not installed")

__all__ = ["browser", "page"]  # fixtures

Cli = Callable[..., tuple[int, str, str]]

NAME = "tiny `study` | *of* <b>shapes"
PROMPTS = ["a | b ```c``` <img src=x onerror=alert(1)>", "# not a [heading](http://example.com)", "$x$ ~~y~~ \\ z"]


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study whose names are hard on Markdown and HTML."""
    database = tmp_path_factory.mktemp("made-up") / "study.db"
    made_up_study(database, 16, name=NAME, size=(2, 6), prompts=PROMPTS)
    return database


@pytest.fixture
def database(made_up: Path, tmp_path: Path) -> Path:
    shutil.copy(made_up, tmp_path / "study.db")
    return tmp_path / "study.db"


@pytest.fixture
def serve() -> Iterator[Callable[[Path], str]]:
    """Serve a database as the command does, on a free port."""
    from optuna.artifacts import FileSystemArtifactStore
    from optuna_dashboard import wsgi

    from storage import open_served_storage
    from studies.dashboard import artifact_folder

    with contextlib.ExitStack() as stack:

        def start(database: Path) -> str:
            app = wsgi(open_served_storage(database), artifact_store=FileSystemArtifactStore(artifact_folder(database)))
            server = stack.enter_context(make_server("127.0.0.1", 0, app, handler_class=Silent))
            threading.Thread(target=server.serve_forever, daemon=True).start()
            stack.callback(server.shutdown)
            return f"http://127.0.0.1:{server.server_port}"

        yield start


class Silent(WSGIRequestHandler):
    def log_message(self, *_: object) -> None: ...


def test_the_front_gets_notes_pictures_and_plots_once(database: Path, run_cli: Cli) -> None:
    front = read_study(database, NAME).front
    code, _, told = run_cli("dashboard", "--storage", database, "--no-serve")
    assert code == 0
    assert f"{len(front) + 1} notes, {len(front)} pictures and 3 plots written" in told
    pictures = list(database.with_name("study.db.artifacts").iterdir())
    assert len(pictures) == len(front)
    for path in pictures:
        with Image.open(path) as image:
            assert image.format == "PNG"
    code, _, told = run_cli("dashboard", "--storage", database, "--no-serve")
    assert (code, "up to date" in told) == (0, True)


def test_the_commands_in_a_note_export_the_file_that_it_applies(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_cli: Cli
) -> None:
    run_cli("dashboard", "--storage", database, "--no-serve")
    monkeypatch.chdir(tmp_path)
    record = read_study(database, NAME).front[0]
    note = note_of(database, record.trial)
    lines = note.replace("\\\n", " ").splitlines()
    command = next(line for line in lines if line.startswith("ecad-automl export"))
    assert run_cli(*shlex.split(command)[1:])[0] == 0
    applied = next(line for line in note.splitlines() if line.startswith("with apply_schedule"))
    (file,) = (tmp_path / "schedules").glob("*.json")
    assert f'"schedules/{file.name}"' in applied


def test_notes_follow_the_front_when_it_is_confirmed_or_changes(database: Path, run_cli: Cli) -> None:
    from storage import EvaluationRecord, Store

    run_cli("dashboard", "--storage", database, "--no-serve")
    front = read_study(database, NAME).front
    last = front[0]
    with Store.open(database) as store:
        # Another trial turns out to be as cheap and better, so that this one leaves the front.
        other = next(r for r in store.evaluations(NAME) if r.genome not in {each.genome for each in front})
        better = EvaluationRecord(other.genome, last.gmacs, 1.0, -1.0, 0.1, {}, 1.0, "bred", other.trial)
        store.save_evaluation(NAME, better)
    code, _, told = run_cli("dashboard", "--storage", database, "--no-serve")
    assert code == 0
    assert "removed" in told
    assert note_of(database, last.trial) == ""
    assert "fewer MACs" in note_of(database, other.trial)


def test_while_a_search_runs_the_dashboard_says_that_it_writes_nothing(database: Path, run_cli: Cli) -> None:
    with writer_lock(database):
        code, _, told = run_cli("dashboard", "--storage", database, "--no-serve")
    assert code == 0
    assert "Another search" in told
    assert "as they were" in told
    assert not database.with_name("study.db.artifacts").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--images", "99"), "from 0 to 12"),
        (("--images", "2", "--no-annotate"), "give one of them"),
        (("--study", "other"), "'other'"),
    ],
)
def test_bad_input_is_told_in_one_sentence(database: Path, run_cli: Cli, arguments: tuple[str, ...], said: str) -> None:
    code, _, err = run_cli("dashboard", "--storage", database, "--no-serve", *arguments)
    assert code == 2
    assert said in err
    assert len(err.splitlines()) == 1


def test_a_taken_port_is_told_in_one_sentence(database: Path, run_cli: Cli) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, _, err = run_cli("dashboard", "--storage", database, "--no-annotate", "--port", taken.getsockname()[1])
    assert code == 2
    assert "cannot listen" in err


def test_pages_open_at_once_and_ctrl_c_ends_them_well(database: Path, start_cli: Callable[..., Forked]) -> None:
    process = start_cli(["dashboard", "--storage", str(database), "--port", "0"])
    said = process.stdout.readline()
    address = re.search(r"http://127\.0\.0\.1:\d+/", said)
    assert address is not None, said
    with urllib.request.urlopen(f"{address[0]}api/studies", timeout=60) as answer:
        assert NAME in {study["study_name"] for study in json.load(answer)["study_summaries"]}
    time.sleep(1)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    try:
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()  # it would hold open what others wait for
    assert process.returncode == 0
    assert "GET /" not in out + err
    assert "Stopped." in err


def test_images_are_made_with_the_model_once_and_an_interrupted_call_goes_on(
    tmp_path: Path, tiny_pixart_folder: Path, tiny_model: Any, run_cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ecad_automl.judging.evaluation import Evaluator
    from ecad_automl.models import model_layout

    database, settings = tmp_path / "study.db", tiny_model.settings
    made_up_study(
        database,
        6,
        name="tiny",
        size=(0, settings.steps),
        layout=model_layout(tiny_model),
        prompts=["a red circle", "a blue cross"],
        identity={
            "model": str(tiny_pixart_folder),
            "revision": tiny_model.revision,
            "dtype": "float32",
            "generation": settings.to_dict(),
        },
    )
    front = read_study(database, None).front
    assert len(front) > 1
    generate: Callable[..., Any] = Evaluator.generate
    made: list[object] = []

    def counted(self: Evaluator, schedule: Any, **given: Any) -> Any:
        if stop and len(made) >= 2:
            raise KeyboardInterrupt
        made.append(schedule)
        return generate(self, schedule, **given)

    monkeypatch.setattr(Evaluator, "generate", counted)
    command = ("dashboard", "--storage", database, "--no-serve", "--images", "2", "--device", "cpu")
    stop = True
    assert run_cli(*command)[0] == 130
    stop = False
    code, _, told = run_cli(*command)
    assert code == 0
    assert f"{2 * len(front)} pictures" in told
    # The uncached run twice, and each schedule once.
    assert len(made) == 2 + len(front)
    assert "up to date" in run_cli(*command)[2]
    # Without --images, the images stay.
    assert "up to date" in run_cli("dashboard", "--storage", database, "--no-serve")[2]
    assert len(made) == 2 + len(front)


def test_pages_show_notes_pictures_and_plots_and_complain_of_nothing(
    database: Path, run_cli: Cli, serve: Callable[[Path], str], page: Watched
) -> None:
    run_cli("dashboard", "--storage", database, "--no-serve")
    address, shown = serve(database), page.page
    shown.on("dialog", lambda dialog: page.complaints.append(f"dialog: {dialog.message}"))

    shown.goto(f"{address}/dashboard/studies/1")
    shown.wait_for_function(
        "() => document.querySelectorAll('[id^=\"user-defined-plot\"] .main-svg').length >= 3", timeout=60_000
    )
    titles = shown.eval_on_selector_all("[id^='user-defined-plot'] .gtitle", "all => all.map(one => one.textContent)")
    assert {title.split()[0] for title in titles} == {"Front", "Hypervolume", "What"}

    shown.goto(f"{address}/dashboard/studies/1/note")
    shown.get_by_text("What it is compared with").wait_for(timeout=60_000)
    text = shown.inner_text("body")
    for said in (NAME, *PROMPTS):
        assert said in text

    record = read_study(database, NAME).front[0]
    shown.goto(f"{address}/dashboard/studies/1/trials?numbers={record.trial}")
    shown.get_by_text("Apply it:").wait_for(timeout=60_000)
    text = shown.inner_text("body")
    assert "Difference on the prompts searched with" in text
    assert f"--trial {record.trial} --out schedules" in text
    shown.wait_for_function("() => [...document.images].every(image => image.complete)", timeout=60_000)
    widths = shown.evaluate("() => [...document.images].map(image => image.naturalWidth)")
    # In the note, and among the artifacts.
    assert len(widths) >= 2
    assert min(widths) > 100
    assert page.complaints == []


def note_of(database: Path, trial: int | None) -> str:
    import optuna
    from optuna_dashboard._note import get_note_from_system_attrs

    from storage import open_served_storage

    study = optuna.load_study(study_name=NAME, storage=open_served_storage(database))
    assert trial is not None
    attributes = study._storage.get_study_system_attrs(study._study_id)
    return str(get_note_from_system_attrs(attributes, study.trials[trial]._trial_id)["body"])
