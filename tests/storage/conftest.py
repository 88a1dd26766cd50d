from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from storage import EvaluationRecord, Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "study.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store.open(path) as opened:
        yield opened


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
