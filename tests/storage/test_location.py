from __future__ import annotations

from pathlib import Path

import pytest

from ecad_automl.errors import StorageError
from storage import database_path, optuna_url


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
        ("mysql://user@host/db", "is on a server, but a SQLite file is needed here"),
        ("oracle://host/db", "oracle database, but a study is kept in a SQLite file, PostgreSQL or MySQL"),
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
