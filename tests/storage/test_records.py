from __future__ import annotations

from dataclasses import FrozenInstanceError
from datetime import datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from ecad_automl.errors import StorageError
from storage import EvaluationRecord, GenerationRecord
from storage.records import from_row, now, pack_scores, to_row, unpack_scores

ROWS = hnp.arrays(np.float32, st.integers(0, 20), elements=st.floats(width=32))


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=8), ROWS, max_size=4))
def test_scores_come_back_bit_for_bit(scores: dict[str, NDArray[np.float32]]) -> None:
    again = unpack_scores(pack_scores(scores))
    assert list(again) == list(scores)
    for name, values in scores.items():
        assert again[name].dtype == np.float32
        np.testing.assert_array_equal(again[name], values)


def test_scores_take_four_bytes_an_image() -> None:
    assert len(pack_scores({"reward": np.zeros(1000, np.float32)})) < 4100


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]\n", b'{"reward": 2}\n\0\0\0\0', b'{"reward": 1}\n\0', b'{"a": "b"}\n']
)
def test_damaged_scores_are_a_storage_error(data: bytes) -> None:
    with pytest.raises(StorageError, match="damaged"):
        unpack_scores(data)


def test_no_scores_are_no_metrics() -> None:
    assert unpack_scores(None) == {}


def test_records_are_frozen_and_equal_by_figures() -> None:
    one = EvaluationRecord("ff", 1.0, 2.0, 3.0, created="then")
    assert one == EvaluationRecord("ff", 1.0, 2.0, 3.0, scores={"reward": np.ones(3, np.float32)}, created="then")
    with pytest.raises(FrozenInstanceError):
        one.reward = 3.0  # type: ignore[misc]


def test_times_are_utc() -> None:
    offset = datetime.fromisoformat(now()).utcoffset()
    assert offset is not None
    assert offset.total_seconds() == 0


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        (EvaluationRecord, {"reward": "high"}),
        (EvaluationRecord, {"reward": None}),
        (EvaluationRecord, {"genome": 3}),
        (EvaluationRecord, {"reward_drop_se": "0"}),
        (EvaluationRecord, {"trial": 0.5}),
        (EvaluationRecord, {"scores": "text"}),
        (GenerationRecord, {"seconds": "[]"}),
        (GenerationRecord, {"seconds": '{"ask": "long"}'}),
        (GenerationRecord, {"seconds": "{"}),
    ],
)
def test_a_value_of_another_kind_than_its_column_is_a_storage_error(kind: Any, changes: dict[str, Any]) -> None:
    """SQLite keeps a text in a column of numbers."""
    record = EvaluationRecord("ff", 1.0, 2.0, 3.0) if kind is EvaluationRecord else GenerationRecord(0, 8)
    row = to_row("study", record)
    assert from_row(kind, row) == record
    with pytest.raises(StorageError, match=f"damaged: it has .* for '{next(iter(changes))}' of one"):
        from_row(kind, {**row, **changes})
