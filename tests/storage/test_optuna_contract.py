"""Optuna's own tests of storages, on those that this project opens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from optuna.storages import RDBStorage
from optuna.testing.pytest_storages import StorageTestCase

from storage import open_optuna_storage
from storage.optuna_storage import open_served_storage


class TestStorages(StorageTestCase):
    """The storage of a search, and the one by which pages are read."""

    @pytest.fixture(params=["search", "pages"])
    def storage(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RDBStorage]:
        opened = [open_optuna_storage(tmp_path / "study.db")]
        if request.param == "pages":
            opened.append(open_served_storage(tmp_path / "study.db"))
        yield opened[-1]
        for storage in opened:
            storage.remove_session()
            storage.engine.dispose()
