"""What a kill kept from being stored is stored by the next run."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from itertools import count

import pytest

from storage import GenerationRecord, Store
from storage.check import check_database
from tests.studies.conftest import Bench


@pytest.mark.parametrize("asynchronous", [False, True])
def test_figures_that_a_kill_kept_from_being_stored_are_those_of_the_undisturbed_search(
    bench_in_file: Bench, asynchronous: bool
) -> None:
    bench = bench_in_file
    bench.run(evaluations=50, asynchronous=asynchronous, race=False)
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

    bench.run(evaluations=50, asynchronous=asynchronous, race=False)
    assert _without_figures(bench) == []
    with Store.open(bench.database) as store:
        resumed = store.generations("s")
    assert [_without_times(record) for record in resumed] == [_without_times(record) for record in undisturbed]


def test_a_seed_that_was_cut_off_twice_is_evaluated(bench_in_file: Bench) -> None:
    """The second kill came when it was marked as cut off, and did not wait again yet."""
    bench = bench_in_file
    whole = bench.run(study="whole", evaluations=12)
    with pytest.raises(_Killed):
        bench.run(bench.evaluator(_kill_at(5)), evaluations=12)
    with closing(sqlite3.connect(bench.database)) as connection:
        waiting = "(select max(trial_id) from trials where state = 'WAITING')"
        genome = f"(select value_json from trial_user_attributes where key = 'genome' and trial_id = {waiting})"
        ((lost,),) = connection.execute(f"select {genome}").fetchall()
        twice = f"select count(*) from trial_user_attributes where key = 'genome' and value_json = {genome}"
        assert connection.execute(twice).fetchone() == (3,)  # one of the other study
        for table in ("trial_user_attributes", "trial_system_attributes", "trials"):
            connection.execute(
                f"delete from {table} where trial_id = (select max(trial_id) from trials)"
                if table == "trials"
                else f"delete from {table} where trial_id = {waiting}"
            )
        connection.commit()
    assert bench.run(evaluations=12).hypervolume == whole.hypervolume
    with Store.open(bench.database) as store:
        assert lost.strip('"') in {record.genome for record in store.evaluations("s")}


def test_a_seed_that_was_marked_as_cut_off_before_a_kill_is_asked_once(bench_in_file: Bench) -> None:
    bench = bench_in_file
    with pytest.raises(_Killed):
        bench.run(bench.evaluator(_kill_at(5)), evaluations=12)
    with closing(sqlite3.connect(bench.database)) as connection:
        # As if the kill had come after the mark, before Optuna was told that the trial has failed.
        waiting = "(select max(trial_id) from trials where state = 'WAITING')"
        marked = "(select trial_id from trial_user_attributes where key = 'interrupted')"
        for table in ("trial_user_attributes", "trial_system_attributes"):
            connection.execute(f"delete from {table} where trial_id = {waiting}")
        connection.execute("delete from trials where trial_id = (select max(trial_id) from trials)")
        connection.execute(f"update trials set state = 'RUNNING', datetime_complete = null where trial_id = {marked}")
        connection.commit()
    bench.run(evaluations=12)
    genomes = [trial.user_attrs["genome"] for trial in bench.complete()]
    assert len(genomes) == len(set(genomes))


class _Killed(BaseException):
    pass


def _kill_at(number: int) -> Callable[[object], None]:
    calls = count(1)

    def kill(_: object) -> None:
        if next(calls) == number:
            raise _Killed

    return kill


def _without_figures(bench: Bench) -> list[str]:
    return [found.text for found in check_database(bench.database).findings if found.kind == "generation"]


def _without_times(record: GenerationRecord) -> GenerationRecord:
    return replace(record, seconds={}, created="")
