"""Optuna's own tests of storages, on those that this project opens."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from optuna.storages import RDBStorage
from optuna.testing.pytest_storages import StorageTestCase

from storage import open_optuna_storage
from storage.optuna_storage import open_served_storage


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database without a study: to make its tables takes longer than most of these tests."""
    path = tmp_path_factory.mktemp("made") / "study.db"
    storage = open_optuna_storage(path)
    storage.remove_session()
    storage.engine.dispose()
    return path


class TestStorages(StorageTestCase):
    """The storage of a search, and the one by which pages are read."""

    @pytest.fixture(params=["search", "pages"])
    def storage(self, request: pytest.FixtureRequest, made: Path, tmp_path: Path) -> Iterator[RDBStorage]:
        shutil.copy(made, tmp_path / "study.db")
        opened = [open_optuna_storage(tmp_path / "study.db")]
        if request.param == "pages":
            opened.append(open_served_storage(tmp_path / "study.db"))
        yield opened[-1]
        for storage in opened:
            storage.remove_session()
            storage.engine.dispose()
