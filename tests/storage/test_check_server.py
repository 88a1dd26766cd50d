"""A database on a server is checked as a file is, but for the file itself."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from sqlalchemy import create_engine, text

from ecad_automl.errors import StorageError
from ecad_automl.rewards import parse_constraint
from storage import BaselineRecord, Store, check_database, open_optuna_storage, redacted, writer_lock
from studies.config import SearchConfig
from studies.prepared import PreparedStudy
from studies.search import search_study
from studies.seeds import fewer_steps
from tests.servers import PostgresServer
from tests.studies.conftest import STEPS, DriftEvaluator, small_drift, small_layout

FRESH = parse_constraint("fresh>=-0.8")


def identity() -> dict[str, Any]:
    return {
        "layout": small_layout().to_dict(),
        "generation": {"steps": STEPS},
        "prompts": ["a", "b", "c"],
        "seeds": [0],
        "reward": "drift",
    }


def search(location: str) -> None:
    layout = small_layout()
    evaluator = DriftEvaluator(layout, small_drift(layout))
    with Store.open(location) as store:
        store.save_calibration("s", "drift", evaluator.drift.to_bytes())
        for count in fewer_steps(STEPS):
            store.save_baseline("s", BaselineRecord(f"{count} steps", count, 1.0, -0.1))
        storage = open_optuna_storage(location)
        config = SearchConfig(evaluations=24, offspring=6, population=10, pool=60, asynchronous=False)
        search_study(
            PreparedStudy(
                evaluator=evaluator,  # type: ignore[arg-type]
                layout=layout,
                store=store,
                optuna_storage=storage,
                name="s",
                identity=identity(),
                config=config,
                constraints=[FRESH],
            )
        )
        storage.engine.dispose()


def change(location: str, sql: str) -> None:
    engine = create_engine(location)
    with engine.begin() as connection:
        assert connection.execute(text(sql)).rowcount, sql
    engine.dispose()


def texts(location: str) -> list[str]:
    # Of the fewer-step runs, which the evaluator does not make.
    return [found.text for found in check_database(location).findings if found.kind != "baseline"]


def test_what_a_search_wrote_is_clean_and_what_was_changed_behind_its_back_is_found(location: str) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    search(location)
    found = check_database(location)
    assert texts(location) == []
    assert str(found.path) == redacted(location).removeprefix("sqlite:///")
    assert [study.evaluations >= 24 for study in found.studies] == [True]
    assert not found.searching
    with writer_lock(location, "s"):
        assert check_database(location).searching

    change(location, "delete from ecad_generations where generation = 0")
    change(location, "update ecad_evaluations set reward = reward - 1 where origin = 'bred'")
    trial = "(select min(trial_id) from trials where state = 'COMPLETE')"
    change(
        location, f"update trial_user_attributes set value_json = '7' where key = 'mac_speedup' and trial_id = {trial}"
    )
    said = "\n".join(texts(location))
    assert "Generation 0 of the study 's' is over, but has no figures." in said
    assert "but the mean of its scores is" in said
    assert "has 7 for 'mac_speedup', but by its evaluation it is" in said


def test_a_database_without_studies_says_so(server: PostgresServer) -> None:
    with pytest.raises(StorageError, match="holds no study"):
        check_database(server.empty_database())
