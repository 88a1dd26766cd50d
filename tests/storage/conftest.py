from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from storage import EvaluationRecord, Store
from tests.servers import PostgresServer, postgresql_server

__all__ = ["postgresql_server"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "study.db"


@pytest.fixture
def server(postgresql_server: PostgresServer) -> PostgresServer:
    return postgresql_server


@pytest.fixture(params=("sqlite", "postgresql"))
def location(request: pytest.FixtureRequest) -> str:
    """Where a study database can be: a file, or an empty database on a server."""
    if request.param == "sqlite":
        return f"sqlite:///{request.getfixturevalue('path')}"
    found: PostgresServer = request.getfixturevalue("postgresql_server")
    return found.empty_database()


@pytest.fixture
def store(location: str) -> Iterator[Store]:
    with Store.open(location) as opened:
        yield opened


@pytest.fixture
def execute(location: str) -> Callable[[str], None]:
    """Changes a database behind our back."""

    def run(sql: str) -> None:
        from sqlalchemy import create_engine, text

        engine = create_engine(location)
        with engine.begin() as connection:
            connection.execute(text(sql))
        engine.dispose()

    return run


@pytest.fixture
def make_evaluation() -> Callable[..., EvaluationRecord]:
    def make(genome: str = "ff00", **fields: object) -> EvaluationRecord:
        values: dict[str, object] = {
            "genome": genome,
            "gmacs": 12.5,
            "reward": 0.75,
            "reward_drop": 0.1 + 0.2,
            "reward_drop_se": 0.01,
            "scores": {"reward": np.array([0.5, 1.0], np.float32), "psnr": np.array([30.1, np.inf], np.float32)},
            "seconds": 3.5,
            "origin": "fora-3",
            "trial": 4,
        }
        return EvaluationRecord(**(values | fields))  # type: ignore[arg-type]

    return make
