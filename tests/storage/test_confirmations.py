from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from storage import ConfirmationRecord, Store


def record(run: str = "ff", **fields: Any) -> ConfirmationRecord:
    scores = {"reward": np.arange(6, dtype=np.float32)}
    values = {"sample": "s1", "run": run, "origin": "bred", "steps": 20, "prompts": 3, "seeds": 2, "gmacs": 1.5}
    return ConfirmationRecord(**{**values, "scores": scores, **fields})


def without_table(path: Path) -> None:
    """As files were before there were confirmations."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("drop table ecad_confirmations")


def test_a_confirmation_comes_back_as_it_was(store: Store) -> None:
    store.save_confirmation("study", record(latency_ms=3.5))
    (again,) = store.confirmations("study")
    assert again == record(latency_ms=3.5, created=again.created)
    np.testing.assert_array_equal(again.scores["reward"], np.arange(6))
    assert store.confirmations("other") == []


def test_study_sample_and_run_tell_confirmations_apart(store: Store) -> None:
    for study, sample, run in (("a", "s1", "ff"), ("a", "s1", "f0"), ("a", "s2", "ff"), ("b", "s1", "ff")):
        store.save_confirmation(study, record(run, sample=sample))
    store.save_confirmation("a", record("f0", seconds=2.0))
    found = store.confirmations("a")
    assert [(one.sample, one.run, one.seconds) for one in found] == [
        ("s1", "ff", 0.0),
        ("s1", "f0", 2.0),
        ("s2", "ff", 0.0),
    ]


def test_a_file_from_before_confirmations_opens_and_takes_one(path: Path) -> None:
    Store.open(path).close()
    without_table(path)
    with Store.open(path, read_only=True) as store:
        assert store.confirmations("study") == []
    with Store.open(path) as store:
        assert store.confirmations("study") == []
        store.save_confirmation("study", record())
        assert len(store.confirmations("study")) == 1
