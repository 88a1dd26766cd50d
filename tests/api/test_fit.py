"""A search that fits each candidate to the uncached run, from the first image to a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecad_automl import Front, load_model
from ecad_automl.errors import EvaluationError, StudyError
from ecad_automl.judging.evaluation import Evaluator
from ecad_automl.judging.fits import FIT_IMAGES
from ecad_automl.rewards import load_reward
from ecad_automl.schedules.schedule_file import load_schedule
from storage import Store, check_database
from studies import SearchConfig
from tests.api.conftest import METHOD

Search = Callable[..., Any]
CONFIG = SearchConfig(evaluations=9, offspring=3, **{**METHOD, "drift_seeds": 2})
CALL = {"steps": 8, "config": CONFIG}


def evaluator_of(folder: Path, front: Front, **options: Any) -> Evaluator:
    with Store.open(front.storage, read_only=True) as store:
        identity = store.identity(front.study) or {}
    model = load_model(str(folder)).with_settings(steps=8, height=16, width=16)
    return Evaluator(
        model.pipe, identity["prompts"], identity["seeds"], load_reward("fidelity"), model.settings, **options
    )


def test_what_is_taken_home_is_what_was_scored(by_call: Search, tiny_pixart_folder: Path, tmp_path: Path) -> None:
    by_call(tmp_path / "parts.db", 9, **CALL)
    by_call(tmp_path / "parts.db", 16, **CALL)
    by_call(tmp_path / "whole.db", 16, **CALL)
    parts, whole = (Front.load(tmp_path / f"{name}.db") for name in ("parts", "whole"))
    assert [(p.genome, p.reward) for p in parts.evaluations] == [(p.genome, p.reward) for p in whole.evaluations]
    assert [p.schedule for p in parts.evaluations] == [p.schedule for p in whole.evaluations]
    fitted = [point for point in whole.evaluations if not point.schedule.is_uncached]
    assert fitted and all(point.schedule.fitted is not None for point in fitted)
    assert not check_database(tmp_path / "whole.db").findings

    point = next(point for point in fitted if point.schedule.skip.any() and point.schedule.steps == 8)
    (path,) = whole.export(tmp_path / "out", point)
    assert load_schedule(path).schedule == point.schedule
    with evaluator_of(tiny_pixart_folder, whole) as evaluator:
        assert evaluator.evaluate(point.schedule).reward == pytest.approx(point.reward, rel=1e-5)


def test_a_study_goes_on_as_it_began(by_call: Search, tmp_path: Path) -> None:
    by_call(tmp_path / "s.db", 9, fit=False, **CALL)
    by_call(tmp_path / "s.db", 12, **CALL)
    assert all(point.schedule.fitted is None for point in Front.load(tmp_path / "s.db").evaluations)
    with pytest.raises(StudyError, match="fit"):
        by_call(tmp_path / "s.db", 14, fit=True, **CALL)


def test_it_is_fitted_to_other_noise_than_is_scored(tiny_pixart_folder: Path) -> None:
    model = load_model(str(tiny_pixart_folder)).with_settings(steps=4, height=16, width=16)
    seen: list[list[int]] = []
    reward = load_reward("fidelity")
    with Evaluator(model.pipe, ["a", "b", "c"], [3, 5], reward, model.settings, batch_size=2) as evaluator:
        call = model.pipe.__call__.__func__
        type_of = type(model.pipe)

        class Watched(type_of):  # type: ignore[misc, valid-type]
            def __call__(self, *args: Any, **kwargs: Any) -> Any:
                generators = kwargs["generator"]
                seen.append([each.initial_seed() for each in generators])
                return call(self, *args, **kwargs)

        model.pipe.__class__ = Watched
        assert evaluator.why_not_fitted() is None
        assert evaluator.fit_images == min(FIT_IMAGES, 2)
        path = evaluator.path(4)
    assert seen == [[6, 7]]
    assert len(path) == 4 and all(np.isfinite(latents.numpy()).all() for latents in path)


def test_a_pipeline_that_cannot_be_watched_is_searched_without(
    by_call: Search, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for number, error in enumerate((EvaluationError("It makes 2 steps."), ValueError("no latents"))):

        def refuse(*_: object, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(Evaluator, "path", refuse)
        database = tmp_path / f"{number}.db"
        by_call(database, 9, **CALL)
        assert all(point.schedule.fitted is None for point in Front.load(database).evaluations)
    assert "Nothing is fitted: It makes 2 steps." in caplog.text
    assert "Nothing is fitted: ValueError: no latents" in caplog.text
