"""A generation's figures are stored by the next run, where a kill came before they were."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from storage import GenerationRecord, Store
from storage.check import check_database


@pytest.mark.parametrize("asynchronous", [False, True])
def test_figures_that_a_kill_kept_from_being_stored_are_those_of_the_undisturbed_search(
    bench: Any, asynchronous: bool
) -> None:
    bench.run(evaluations=50, asynchronous=asynchronous, race=0.0)
    with Store.open(bench.database) as store:
        undisturbed = store.generations("s")
    assert len(undisturbed) >= 5
    assert any(record.surrogate_used for record in undisturbed)
    assert _without_figures(bench) == []

    gone = (0, 2, len(undisturbed) - 2)
    with closing(sqlite3.connect(bench.database)) as connection:
        connection.execute(f"delete from ecad_generations where generation in {gone}")
        connection.commit()
    assert len(_without_figures(bench)) == len(gone)

    bench.run(evaluations=50, asynchronous=asynchronous, race=0.0)
    assert _without_figures(bench) == []
    with Store.open(bench.database) as store:
        resumed = store.generations("s")
    assert [_without_times(record) for record in resumed] == [_without_times(record) for record in undisturbed]


def _without_figures(bench: Any) -> list[str]:
    return [found.text for found in check_database(bench.database).findings if found.kind == "generation"]


def _without_times(record: GenerationRecord) -> GenerationRecord:
    return replace(record, seconds={}, created="")
