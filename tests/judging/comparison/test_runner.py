from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ecad_automl.errors import EvaluationError, StorageError
from ecad_automl.judging.comparison import (
    UNCACHED,
    BatchSize,
    Judge,
    Sample,
    compare,
    pending_images,
    summarize,
)
from ecad_automl.judging.evaluation import Evaluator
from ecad_automl.schedules.schedule import Schedule
from storage.scores import ScoreFile
from tests.judging.comparison.conftest import PROMPTS, Brightness, Noted, every

IDENTITY = {"model": "tiny", "seeds": [0, 7]}


def run(
    model: Any,
    schedules: dict[str, Schedule],
    sample: Sample,
    judge: Judge,
    ledger: ScoreFile,
    noted: Noted,
    *,
    batch: BatchSize | None = None,
    sink: Callable[..., object] | None = None,
) -> None:
    batch = batch or BatchSize(4)
    compare(model.pipe, model.settings, schedules, sample, judge, ledger, batch=batch, observer=noted, sink=sink)


def test_scores_are_those_of_plain_evaluations(
    any_tiny_model: Any, sample: Sample, judge: Judge, noted: Noted, tmp_path: Path
) -> None:
    schedules = every(any_tiny_model, 2) | every(any_tiny_model, 3)
    with ScoreFile.open(tmp_path / "scores.db", IDENTITY) as ledger:
        run(any_tiny_model, schedules, sample, judge, ledger, noted)
        settings = any_tiny_model.settings
        plain = Evaluator(any_tiny_model.pipe, PROMPTS, [0, 7], Brightness(), settings, batch_size=4)
        for name, schedule in schedules.items():
            found = ledger.scores(name, "brightness", sample.items)
            assert np.array_equal(found.reshape(-1, 2), plain.evaluate(schedule).scores)
        assert np.array_equal(
            ledger.scores(UNCACHED, "brightness", sample.items).reshape(-1, 2), plain.baseline().scores
        )
        assert (ledger.scores(UNCACHED, "fidelity", sample.items) == 0).all()
        assert (ledger.scores(UNCACHED, "latent-distance", sample.items) == 0).all()
        assert (ledger.scores("every-3", "latent-distance", sample.items) > 0).all()
        assert ledger.features("every-2", judge.key("fid"), sample.items).shape == (10, 3)
        images = plain.generate(schedules["every-2"])
        assert np.array_equal(
            ledger.features("every-2", judge.key("fid"), sample.items), images.mean(dim=(2, 3)).numpy()
        )
    assert noted.updates[-1][:2] == (30, 30)


def test_the_text_encoders_are_away_while_images_are_made_and_back_afterwards(
    any_tiny_model: Any, sample: Sample, noted: Noted, tmp_path: Path
) -> None:
    pipe = any_tiny_model.pipe
    before = {name: part for name, part in pipe.components.items() if name.startswith("text_encoder")}
    there: list[bool] = []

    def look(*_: object) -> None:
        there.append(any(getattr(pipe, name) is not None for name in before))

    with ScoreFile.open(tmp_path / "scores.db", IDENTITY) as ledger:
        run(any_tiny_model, {}, sample, Judge({"brightness": Brightness()}), ledger, noted, sink=look)
    assert there
    assert not any(there)
    assert all(getattr(pipe, name) is part for name, part in before.items())


def test_what_is_known_is_not_made_again(tiny_model: Any, sample: Sample, noted: Noted, tmp_path: Path) -> None:
    first, second = Brightness(), Brightness()
    with ScoreFile.open(tmp_path / "scores.db", IDENTITY) as ledger:
        run(tiny_model, every(tiny_model, 2), sample, Judge({"brightness": first}), ledger, noted)
        again = Judge({"brightness": second})
        schedules = every(tiny_model, 2) | every(tiny_model, 3)
        assert pending_images(schedules, sample, again, ledger) == 10
        run(tiny_model, schedules, sample, again, ledger, noted)
        assert pending_images(schedules, sample, again, ledger) == 0
    assert sum(first.asked) == 20
    assert sum(second.asked) == 10  # the new run alone: nothing compares it with the uncached images


def test_a_metric_that_comes_later_is_taken_of_images_made_anew(
    tiny_model: Any, sample: Sample, judge: Judge, noted: Noted, tmp_path: Path
) -> None:
    schedules = every(tiny_model, 2)
    with ScoreFile.open(tmp_path / "a.db", IDENTITY) as ledger, ScoreFile.open(tmp_path / "b.db", IDENTITY) as other:
        run(tiny_model, schedules, sample, Judge({"brightness": Brightness()}), ledger, noted)
        run(tiny_model, schedules, sample, judge, ledger, noted)
        run(tiny_model, schedules, sample, judge, other, noted)
        for metric in ("brightness", "fidelity", "latent-distance"):
            for name in (UNCACHED, "every-2"):
                found, expected = (file.scores(name, metric, sample.items) for file in (ledger, other))
                assert np.array_equal(found, expected)


class _Interrupted(Brightness):
    """Stops at its third batch, as Ctrl-C does."""

    def score(self, images: torch.Tensor, prompts: Sequence[str]) -> Any:
        if len(self.asked) == 2:
            raise KeyboardInterrupt
        return super().score(images, prompts)


def test_ctrl_c_loses_no_scored_batch(tiny_model: Any, sample: Sample, noted: Noted, tmp_path: Path) -> None:
    schedules = every(tiny_model, 2)
    with ScoreFile.open(tmp_path / "scores.db", IDENTITY) as ledger:
        with pytest.raises(KeyboardInterrupt):
            run(tiny_model, schedules, sample, Judge({"brightness": _Interrupted()}), ledger, noted)
        assert len(ledger.known(UNCACHED, "brightness") | ledger.known("every-2", "brightness")) == 4
        rest = Brightness()
        run(tiny_model, schedules, sample, Judge({"brightness": rest}), ledger, noted)
        assert sum(rest.asked) == 12
        assert tiny_model.pipe.text_encoder is not None


def test_batches_that_do_not_fit_are_halved(
    tiny_model: Any, sample: Sample, noted: Noted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = type(tiny_model.pipe).__call__
    sizes: list[int] = []

    def limited(self: Any, *args: Any, **kwargs: Any) -> Any:
        given = kwargs["generator"]
        size = len(given) if isinstance(given, list) else 1
        if size > 3:
            raise torch.OutOfMemoryError(f"no room for {size}")
        sizes.append(size)
        return call(self, *args, **kwargs)

    monkeypatch.setattr(type(tiny_model.pipe), "__call__", limited)
    with ScoreFile.open(tmp_path / "scores.db", IDENTITY) as ledger:
        batch = BatchSize(1, 8)
        run(tiny_model, every(tiny_model, 2), sample, Judge({"brightness": Brightness()}), ledger, noted, batch=batch)
        assert not np.isnan(ledger.scores("every-2", "brightness", sample.items)).any()
    assert batch.size == 2
    batch.fitted()
    assert batch.size == 2  # it grows no more
    assert sizes == [1, 1, 2, 2] + [2, 2] * 3 + [1, 1]
    assert any("2 images per call" in text for text in noted.messages)


def test_a_single_image_that_does_not_fit_is_an_error(
    tiny_model: Any, sample: Sample, noted: Noted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> Any:
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(type(tiny_model.pipe), "__call__", full)
    with (
        ScoreFile.open(tmp_path / "scores.db", IDENTITY) as ledger,
        pytest.raises(EvaluationError, match="too little memory for a single image"),
    ):
        run(tiny_model, {}, sample, Judge({"brightness": Brightness()}), ledger, noted)


def test_calls_are_timed_while_nothing_is_scored(tiny_model: Any, sample: Sample, noted: Noted, tmp_path: Path) -> None:
    schedules = every(tiny_model, 2)
    judge = Judge({"brightness": Brightness()})
    with ScoreFile.open(tmp_path / "scores.db", IDENTITY) as ledger:
        run(tiny_model, schedules, sample, judge, ledger, noted, batch=BatchSize(2))
        assert [images for images, _ in ledger.times("every-2")] == [2, 2, 2]
        uncached, cached = summarize(schedules, tiny_model.settings.steps, sample, judge, ledger)
    assert uncached.times is not None
    assert uncached.times.speedup == 1
    assert cached.times is not None
    assert cached.times.median > 0


def test_images_are_handed_on_as_they_come(tiny_model: Any, sample: Sample, noted: Noted, tmp_path: Path) -> None:
    seen: dict[str, list[tuple[int, int]]] = {}

    def note(name: str, items: Sequence[tuple[int, int]], images: torch.Tensor) -> None:
        assert len(items) == len(images)
        seen.setdefault(name, []).extend(items)

    with ScoreFile.open(tmp_path / "scores.db", IDENTITY) as ledger:
        schedules = every(tiny_model, 2)
        run(tiny_model, schedules, sample, Judge({"brightness": Brightness()}), ledger, noted, sink=note)
    assert seen == {UNCACHED: sample.items, "every-2": sample.items}


def test_scores_of_other_images_are_not_mixed_in(tmp_path: Path) -> None:
    ScoreFile.open(tmp_path / "scores.db", IDENTITY).close()
    with pytest.raises(StorageError, match=r"model \('tiny' in the file, 'other' now\)"):
        ScoreFile.open(tmp_path / "scores.db", {**IDENTITY, "model": "other"})


def test_a_run_called_like_the_uncached_one_is_refused(
    tiny_model: Any, sample: Sample, judge: Judge, noted: Noted, tmp_path: Path
) -> None:
    with (
        ScoreFile.open(tmp_path / "scores.db", IDENTITY) as ledger,
        pytest.raises(EvaluationError, match="'uncached'; give each schedule file a name of its own"),
    ):
        run(tiny_model, {UNCACHED: every(tiny_model, 2)["every-2"]}, sample, judge, ledger, noted)
