"""Whole searches on a server: real processes, killed and cut off, and everything that reads what they found."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from storage import EvaluationRecord, Store, redacted
from tests.commands import search_arguments, start
from tests.forked import Forked
from tests.servers import PASSWORD, PostgresServer

Command = Callable[..., tuple[int, str, str]]

BUDGET = 10


@pytest.fixture
def run_cli(run_cli: Command) -> Command:
    """As everywhere, and what it writes holds no password."""

    def run(*arguments: object) -> tuple[int, str, str]:
        code, out, err = run_cli(*arguments)
        assert PASSWORD not in out + err
        return code, out, err

    return run


def arguments(storage: str, study: str, folder: Path, model: Path, evaluations: int = BUDGET) -> list[str]:
    return search_arguments(folder, model, evaluations, storage=storage, study=study)


def evaluated(storage: str, study: str) -> list[EvaluationRecord]:
    with Store.open(storage) as store:
        return store.evaluations(study)


def wait_for(storage: str, study: str, count: int, process: Forked) -> None:
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and process.poll() is None:
        if len(evaluated(storage, study)) >= count:
            return
        time.sleep(0.05)
    raise AssertionError(f"{count} evaluations were not reached: {process.communicate()}")


@pytest.mark.slow
def test_searches_on_a_server_survive_kills_and_its_crash_and_all_commands_read_them(
    postgresql_server: PostgresServer,
    tmp_path: Path,
    tiny_pixart_folder: Path,
    run_cli: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    url = postgresql_server.empty_database()

    def search(storage: str, study: str, evaluations: int = BUDGET) -> tuple[int, str, str]:
        return run_cli(*arguments(storage, study, tmp_path, tiny_pixart_folder, evaluations))

    driver = start(arguments(url, "one", tmp_path, tiny_pixart_folder, 10_000))
    try:
        wait_for(url, "one", 4, driver)
        code, _, err = search(url, "one")
        assert code == 2
        assert f"Another search (process {driver.pid} on " in err
        assert f"is running on the study 'one' in {redacted(url)}; wait for it" in " ".join(err.split())
        code, out, err = search(url, "two", 4)
        assert code == 0, out + err
        assert driver.poll() is None
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.communicate(timeout=60)
    killed = {record.genome for record in evaluated(url, "one")}

    crash = threading.Thread(target=lambda: crash_at(postgresql_server, url, "one", len(killed) + 3))
    crash.start()
    code, out, err = search(url, "one", 10_000)
    crash.join(timeout=120)
    postgresql_server.start()
    assert code == 2, out + err
    assert f"Error: The study database {redacted(url)} " in " ".join(err.split())
    assert "Traceback" not in out + err
    crashed = {record.genome for record in evaluated(url, "one")}
    assert len(crashed - killed) >= 3

    # The same command goes on, and finds what an undisturbed search on a file finds.
    file = f"sqlite:///{tmp_path}/whole.db"
    budget = max(BUDGET, len(crashed) + 2)
    for storage in (url, file):
        code, out, err = search(storage, "one", budget)
        assert code == 0, out + err
    whole = {record.genome: record.reward for record in evaluated(file, "one")}
    found = {record.genome: record.reward for record in evaluated(url, "one")}
    assert killed <= crashed <= set(found)
    assert found == whole
    check_trials(url, ("one", "two"))
    read_everything(run_cli, url, file)


def crash_at(server: PostgresServer, url: str, study: str, count: int) -> None:
    """Crash a server when a study has so many evaluations."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and len(evaluated(url, study)) < count:
        time.sleep(0.05)
    server.crash()


def check_trials(url: str, studies: tuple[str, ...]) -> None:
    """Every evaluation has its trial, told with the same reward, and none is left running."""
    from storage import optuna_storage

    for name in studies:
        with optuna_storage(url) as trials:
            of_study = trials.get_all_trials(trials.get_study_id_from_name(name))
        told = {trial.number: trial for trial in of_study}
        assert not [trial for trial in of_study if trial.state.name == "RUNNING"]
        for record in evaluated(url, name):
            assert record.trial is not None
            trial = told[record.trial]
            assert trial.state.name == ("COMPLETE" if record.complete else "PRUNED")
            assert not record.complete or trial.values[0] == record.reward


def read_everything(run_cli: Command, url: str, file: str) -> None:
    """Each command says of the server what it says of the file, and writes no password."""
    from ecad_automl import Front

    one = ("--storage", url, "--study", "one")
    code, _, err = run_cli("front", "--storage", url)
    assert code == 2
    assert f"{redacted(url)} holds 2 studies ('one', 'two'); name one of them" in " ".join(err.split())
    written = Path("written")
    Path("unseen.txt").write_text("a dotted star\na thin cross\n")
    for command in (
        ("confirm", *one, "--prompts", "unseen.txt", "--seeds", "7", "--device", "cpu", "--no-baselines"),
        ("front", *one),
        ("front", *one, "--confirmed"),
        ("plot", *one, "--out", written / "plots"),
        ("export", *one, "--out", written / "schedules"),
        ("report", *one, "--out", written.absolute().with_name("report.html")),
        ("dashboard", *one, "--no-serve", "--artifacts", written / "pictures"),
    ):
        code, out, err = run_cli(*command)
        assert code == 0, (command, out, err)
    on_server, in_file = ([(point.schedule, point.reward) for point in Front.load(it, "one")] for it in (url, file))
    assert on_server == in_file
    text = Path("report.html").read_text() + "".join(path.read_text() for path in written.rglob("*.json"))
    stored = dump(url)
    assert redacted(url) in text
    assert redacted(url) in stored
    assert PASSWORD not in text + stored


def dump(url: str) -> str:
    """All that the database holds, as text."""
    from sqlalchemy import create_engine, inspect
    from sqlalchemy import text as sql

    engine = create_engine(url)
    with engine.connect() as connection:
        names = inspect(connection).get_table_names()
        rows = [str(row) for name in names for row in connection.execute(sql(f'select * from "{name}"'))]
    engine.dispose()
    return "\n".join(rows)
