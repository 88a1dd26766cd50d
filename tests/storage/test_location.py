from __future__ import annotations

from pathlib import Path

import pytest

from ecad_automl.errors import StorageError
from storage import database_path, is_server, may_exist, optuna_url, redacted, split_study
from storage.location import server_url


def test_paths_and_urls_of_one_file_name_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    wanted = tmp_path / "study.db"
    for location in (
        "study.db",
        Path("study.db"),
        wanted,
        "sqlite:///study.db",
        f"sqlite:///{wanted}",
        f"SQLite:///{wanted}",
        f"sqlite+pysqlite:///{wanted}",
        optuna_url(wanted),
    ):
        assert database_path(location) == wanted


def test_a_home_folder_is_filled_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert database_path("~/study.db") == tmp_path / "study.db"


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("postgresql://user@host/db", "is on a server, but a SQLite file is needed here"),
        ("oracle://host/db", "oracle database, but a study is kept in a SQLite file or PostgreSQL"),
        ("mysql://host/db", "mysql database, but a study is kept in a SQLite file or PostgreSQL"),
        ("http://example.org/study.db", "http database"),
        ("sqlite://host/study.db", "names a host"),
        ("sqlite://", "names no file"),
        ("sqlite:///", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        (":memory:", "names no file"),
        ("", "names no file"),
        ("sqlite:///study.db?timeout=3", "question mark"),
        ("what?.db", "question mark"),
        ("nu\0ll.db", "null character"),
    ],
)
def test_other_locations_are_refused(location: str, message: str) -> None:
    with pytest.raises(StorageError, match=message):
        database_path(location)


def test_a_folder_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"is a folder; name a file in it, such as .*study\.db"):
        database_path(tmp_path)


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("postgresql+psycopg://ada@host/db", "postgresql+psycopg://ada@host/db"),
        ("postgresql://ada@host/db", "postgresql+psycopg://ada@host/db"),
        ("postgres://host:5433/db", "postgresql+psycopg://host:5433/db"),
        (
            "PostgreSQL://ada:a%40b@[::1]:5433/db?sslmode=require",
            "postgresql+psycopg://ada:a%40b@[::1]:5433/db?sslmode=require",
        ),
        ("postgresql:///db?host=/run/postgresql", "postgresql+psycopg:///db?host=/run/postgresql"),
    ],
)
def test_urls_of_servers_get_the_driver_that_is_used(location: str, url: str) -> None:
    assert is_server(location)
    assert server_url(location) == optuna_url(location) == url
    assert may_exist(location)


@pytest.mark.parametrize(
    "location", ["study.db", "sqlite:///study.db", Path("postgresql:/host/db"), "postgresqlx://h/d"]
)
def test_what_is_on_no_server_is_told_apart(location: str | Path) -> None:
    assert not is_server(location)


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("postgresql+psycopg2://ada:secret@host/db", "asks for the driver 'psycopg2', but psycopg is used; write"),
        ("postgresql://ada:secret@host", "names no database"),
        ("postgresql://ada:secret@host/", "names no database"),
        ("postgresql://ada:sec@ret@host/db", "with %40 for an @"),
        ("postgresql://ada:secret@host:port/db", "is no URL of a database"),
        ("postgresql://ada:secret@host:12:34/db", "is no URL of a database"),
    ],
)
def test_wrong_urls_of_servers_are_refused_without_showing_the_password(location: str, message: str) -> None:
    with pytest.raises(StorageError, match=message) as raised:
        server_url(location)
    for secret in ("secret", "sec@", "ret@"):
        assert secret not in str(raised.value)


@pytest.mark.parametrize(
    ("location", "text"),
    [
        ("postgresql+psycopg://ada:secret@host/db", "postgresql+psycopg://ada@host/db"),
        ("postgresql+psycopg://ada@host/db", "postgresql+psycopg://ada@host/db"),
        ("postgresql://ada:s/e:c@r?e#t@host:5433/db?sslmode=require", "postgresql://ada@host:5433/db?sslmode=require"),
        ("postgresql:///db?host=/run&password=secret&user=ada", "postgresql:///db?host=/run&user=ada"),
        ("postgresql:///db?sslpassword=secret", "postgresql:///db"),
        ("postgresql:///db?passfile=/home/ada/.pgpass", "postgresql:///db?passfile=/home/ada/.pgpass"),
        ("oracle://ada:secret@host/db", "oracle://ada@host/db"),
        ("sqlite:///a:b@c.db", "sqlite:///a:b@c.db"),
        ("a:b@c.db", "a:b@c.db"),
        (Path("study.db"), "study.db"),
    ],
)
def test_a_location_is_shown_without_its_password(location: str | Path, text: str) -> None:
    assert redacted(location) == text


def test_a_refused_location_is_shown_without_its_password() -> None:
    with pytest.raises(StorageError, match="oracle://ada@host/db is a oracle") as raised:
        database_path("oracle://ada:secret@host/db")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("location", "parts"),
    [
        ("postgresql://ada:s#t@host/db", ("postgresql://ada:s#t@host/db", "")),
        ("postgresql://ada:s#t@host/db#old@1", ("postgresql://ada:s#t@host/db", "old@1")),
        ("postgresql://host/db#old@1", ("postgresql://host/db", "old@1")),
        ("old.db#first", ("old.db", "first")),
        ("sqlite:///old.db#first", ("sqlite:///old.db", "first")),
        ("old.db", ("old.db", "")),
    ],
)
def test_a_study_behind_a_hash_is_split_off(location: str, parts: tuple[str, str]) -> None:
    assert split_study(location) == parts
