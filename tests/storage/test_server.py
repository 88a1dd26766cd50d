"""A study database on a server: what a file promises, and what only a server can do wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import optuna
import pytest
from sqlalchemy import create_engine, inspect, text

from ecad_automl.errors import StorageError
from storage import (
    EvaluationRecord,
    Store,
    open_optuna_storage,
    open_served_storage,
    optuna_storage,
    redacted,
    storage_faults,
    writer_lock,
)
from storage.records import COLUMNS
from tests.servers import PASSWORD, PostgresServer

Make = Callable[..., EvaluationRecord]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(level)


@pytest.fixture
def url(server: PostgresServer) -> str:
    """An empty database."""
    return server.empty_database()


def run(url: str, sql: str) -> list[tuple[object, ...]]:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            found = connection.execute(text(sql))
            return [tuple(row) for row in found] if found.returns_rows else []
    finally:
        engine.dispose()


def test_the_tables_have_the_columns_of_a_file_and_stand_beside_optunas(url: str) -> None:
    with Store.open(url) as store, optuna_storage(url):
        assert store.path is None
        engine = create_engine(url)
        with engine.connect() as connection:
            inspector = inspect(connection)
            names = set(inspector.get_table_names())
            for name, columns in COLUMNS.items():
                found = tuple(column["name"] for column in inspector.get_columns(name))
                assert found == ("id", "row_key", *columns)
        engine.dispose()
    assert set(COLUMNS) | {"studies", "trials", "trial_user_attributes"} <= names


def test_a_genome_may_be_longer_than_an_index_takes(url: str, make_evaluation: Make) -> None:
    genomes = [f"{start}{'5f' * 6000}" for start in ("aa", "bb")]
    with Store.open(url) as store:
        for genome in (*genomes, genomes[0]):
            store.save_evaluation("study", make_evaluation(genome))
        assert [record.genome for record in store.evaluations("study")] == genomes
        found = store.evaluation("study", genomes[1])
        assert found is not None
        assert found.genome == genomes[1]


def test_studies_whose_names_differ_in_case_or_by_a_blank_do_not_mix(url: str, make_evaluation: Make) -> None:
    names = ["study", "Study", "study ", "stüdy", "studý"]
    with Store.open(url) as store:
        for index, name in enumerate(names):
            store.claim_study(name, {"seed": index})
            store.save_evaluation(name, make_evaluation(reward=float(index)))
        assert store.studies() == names
        for index, name in enumerate(names):
            assert store.identity(name) == {"seed": index}
            assert [record.reward for record in store.evaluations(name)] == [float(index)]


def test_many_that_open_an_empty_database_at_once_make_its_tables_once(url: str) -> None:
    def claim(index: int) -> None:
        with Store.open(url) as store, optuna_storage(url) as trials:
            store.claim_study(f"study {index}", {})
            optuna.create_study(study_name=f"study {index}", storage=trials)
            store.claim_study("shared", {"seed": 0})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(claim, range(4)))
    with Store.open(url, read_only=True) as store:
        assert sorted(store.studies()) == ["shared", *(f"study {index}" for index in range(4))]


def test_attributes_of_trials_are_read_without_optuna(url: str) -> None:
    with Store.open(url) as store:
        assert store.trial_attributes("study", "operator") == {}  # Optuna has no tables yet
        with optuna_storage(url) as trials:
            study = optuna.create_study(study_name="study", storage=trials)
            for value in ("copy", {"a": [1]}):
                study.ask().set_user_attr("operator", value)
            trials.set_trial_system_attr(study.trials[1]._trial_id, "Sampler:generation", 3)
        assert store.trial_attributes("study", "operator") == {0: "copy", 1: {"a": [1]}}
        assert store.trial_attributes("study", "%:generation", system=True) == {1: 3}
        assert store.trial_attributes("other", "operator") == {}


HOLDER = """
import sys, time
from storage import writer_lock
with writer_lock(sys.argv[1], sys.argv[2]):
    print("held", flush=True)
    time.sleep(120)
"""


def hold(url: str, study: str) -> subprocess.Popen[str]:
    child = subprocess.Popen([sys.executable, "-c", HOLDER, url, study], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    return child


def kill(child: subprocess.Popen[str]) -> None:
    child.send_signal(signal.SIGKILL)
    child.communicate(timeout=60)


def test_each_study_has_one_driver_and_a_kill_frees_it(url: str) -> None:
    child = hold(url, "one")
    try:
        with writer_lock(url, "two"):
            pass
        with pytest.raises(StorageError) as raised, writer_lock(url, "one"):
            pytest.fail("the lock was given twice")
        message = str(raised.value)
        assert f"is running on the study 'one' in {redacted(url)}; wait for it or stop it, or use another" in message
        assert PASSWORD not in message
        assert f"process {child.pid} on " in message
    finally:
        kill(child)
    with writer_lock(url, "one", wait=60):  # until the server has noticed
        pass


def test_who_waits_gets_the_lock_when_it_is_free_and_is_told_of_it_once(url: str) -> None:
    child = hold(url, "one")
    said: list[str] = []

    def waiting(text: str) -> None:
        said.append(text)
        kill(child)

    with writer_lock(url, "one", wait=120, waiting=waiting):
        (text,) = said
    assert text.endswith("; waiting for it to end.")
    with (
        writer_lock(url, "one"),
        pytest.raises(StorageError, match="Another search"),
        writer_lock(url, "one", wait=0.6),
    ):
        pytest.fail("the lock was given twice")


def test_locks_of_two_databases_of_a_server_are_two(server: PostgresServer) -> None:
    with writer_lock(server.empty_database(), "one"), writer_lock(server.empty_database("others"), "one"):
        pass


def break_connections(server: PostgresServer, url: str) -> None:
    """End all connections to a database, as a firewall may, or a restart."""
    name = url.rpartition("/")[2]
    server.execute(f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'")


def test_a_lock_that_a_broken_connection_has_lost_is_taken_back_before_the_next_write(
    server: PostgresServer, url: str, make_evaluation: Make
) -> None:
    with writer_lock(url, "one") as lock, Store.open(url, lock=lock) as store:
        store.save_evaluation("one", make_evaluation("aa"))
        break_connections(server, url)
        store.save_evaluation("one", make_evaluation("bb"))
        assert [record.genome for record in store.evaluations("one")] == ["aa", "bb"]
        with pytest.raises(StorageError, match="Another search"), writer_lock(url, "one"):
            pytest.fail("the lock was given twice")


def test_who_has_lost_its_lock_to_another_driver_writes_nothing_more(
    server: PostgresServer, url: str, make_evaluation: Make
) -> None:
    with writer_lock(url, "one") as lock, Store.open(url, lock=lock) as store:
        store.save_evaluation("one", make_evaluation("aa"))
        break_connections(server, url)
        child = hold(url, "one")
        try:
            with pytest.raises(
                StorageError, match=r"by now there is another driver: Another search .*; this one stops"
            ):
                store.save_evaluation("one", make_evaluation("bb"))
            assert [record.genome for record in store.evaluations("one")] == ["aa"]
        finally:
            kill(child)


def test_a_server_that_goes_away_is_one_sentence_and_when_it_is_back_nothing_is_lost(
    server: PostgresServer, url: str, make_evaluation: Make
) -> None:
    with writer_lock(url, "one") as lock, Store.open(url, lock=lock) as store, optuna_storage(url) as trials:
        study = optuna.create_study(study_name="one", storage=trials)
        study.tell(study.ask(), 1.0)
        store.save_evaluation("one", make_evaluation("aa"))
        server.crash()
        try:
            for use in (
                lambda: store.save_evaluation("one", make_evaluation("bb")),
                lambda: store.evaluations("one"),
                lambda: Store.open(url, read_only=True),
                lambda: study.tell(0, 2.0, skip_if_finished=True),
                lambda: open_optuna_storage(url),
                lambda: open_served_storage(url),
                lambda: writer_lock(url, "two").__enter__(),
            ):
                with pytest.raises(StorageError) as raised, storage_faults(url):
                    use()
                message = str(raised.value)
                assert message.startswith(f"The study database {redacted(url)} ")
                assert "cannot be reached; check the host" in message or "does not answer any more" in message
                assert "\n" not in message
                assert PASSWORD not in message
        finally:
            server.start()
        store.save_evaluation("one", make_evaluation("bb"))
        study.tell(study.ask(), 2.0)
        assert [trial.value for trial in study.trials] == [1.0, 2.0]
        assert [record.genome for record in store.evaluations("one")] == ["aa", "bb"]


def test_wrong_urls_are_told_apart_and_no_message_has_the_password(server: PostgresServer, url: str) -> None:
    name = url.rpartition("/")[2]
    cases = {
        server.url(name, password="not:this@"): "refuses the user or the password",
        server.url(name, password=None): "refuses the user or the password",
        server.url(name, user="nobody-here"): "refuses the user or the password",
        server.url("missing"): "does not exist on its server; make it first",
        server.url(name, port=1): "cannot be reached; check the host and port",
        server.url(name).replace("127.0.0.1", "no-such-host.invalid"): "cannot be reached; check the host and port",
    }
    for location, expected in cases.items():
        for use in (Store.open, open_optuna_storage, lambda location: writer_lock(location, "one").__enter__()):
            with pytest.raises(StorageError) as raised:
                use(location)
            message = str(raised.value)
            assert message.startswith(f"The study database {redacted(location)} {expected}"), message
            assert "\n" not in message
            for secret in (PASSWORD, "not:this", "not%3Athis"):
                assert secret not in message


def test_a_user_without_rights_is_told_so(server: PostgresServer, url: str, make_evaluation: Make) -> None:
    name = url.rpartition("/")[2]
    with Store.open(url) as store:
        store.claim_study("one", {})
        store.save_evaluation("one", make_evaluation())
    server.execute(
        *("drop role if exists reader", "create role reader login password 'reads'"),
        "grant select on all tables in schema public to reader",
        database=name,
    )
    reader = server.url(name, user="reader", password="reads")
    with Store.open(reader, read_only=True) as store:
        assert len(store.evaluations("one")) == 1
    with (
        Store.open(reader) as store,
        pytest.raises(StorageError, match="does not let its user do this; grant the rights"),
    ):
        store.save_evaluation("one", make_evaluation())
    with pytest.raises(StorageError, match="does not let its user do this"):
        open_optuna_storage(reader)
    server.execute("drop owned by reader", "drop role reader", database=name)


def test_writing_through_a_reader_is_refused(url: str, make_evaluation: Make) -> None:
    with pytest.raises(StorageError, match="holds no study of ecad-automl; check the URL, or start a search"):
        Store.open(url, read_only=True)
    Store.open(url).close()
    with Store.open(url, read_only=True) as store, pytest.raises(StorageError, match="cannot be written"):
        store.save_evaluation("study", make_evaluation())


def test_a_driver_that_is_not_installed_is_named(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(
        StorageError, match=r"is not installed; install it with pip install 'ecad-automl\[postgresql\]'"
    ):
        Store.open(url)


def test_tables_of_another_optuna_are_a_storage_error(url: str) -> None:
    with optuna_storage(url):
        pass
    run(url, "update alembic_version set version_num = 'v9.9.9.a'")
    with pytest.raises(StorageError, match="Optuna cannot use the study database") as raised:
        open_optuna_storage(url)
    assert PASSWORD not in str(raised.value)


def test_the_password_may_come_from_the_environment(server: PostgresServer, url: str) -> None:
    code = "import sys; from storage import Store; print(Store.open(sys.argv[1]).location)"
    bare = server.url(url.rpartition("/")[2], password=None)
    environment = {**os.environ, "PGPASSWORD": PASSWORD}
    command = [sys.executable, "-c", code, bare]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120, env=environment)
    assert done.stdout.strip() == bare == redacted(url), done.stderr


def test_a_row_that_another_connection_holds_is_given_up_after_the_set_time(url: str, make_evaluation: Make) -> None:
    with Store.open(url, busy_seconds=1) as store:
        store.save_evaluation("one", make_evaluation())
        engine = create_engine(url)
        with closing(engine.connect()) as other:
            other.execute(text("update ecad_evaluations set reward = 0"))
            with pytest.raises(StorageError, match="is locked by another connection for too long; close what else"):
                store.save_evaluation("one", make_evaluation(reward=2.0))
            other.rollback()
        engine.dispose()
        store.save_evaluation("one", make_evaluation(reward=2.0))
        assert [record.reward for record in store.evaluations("one")] == [2.0]
