from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.search.cells import PaidObjective
from benchmarks.search.objective import BudgetSpentError
from benchmarks.search.step_rivals import step_schedule
from ecad_automl.judging.evaluation import Evaluator
from ecad_automl.models import model_layout


class Brightness:
    name = "brightness"

    def score(self, images: torch.Tensor, prompts: Sequence[str]) -> Any:
        return images.double().mean(dim=(1, 2, 3)).numpy()


@pytest.fixture
def evaluator(tiny_model: Any) -> Evaluator:
    return Evaluator(tiny_model.pipe, ["a red circle", "a cross"], [0, 1], Brightness(), tiny_model.settings)


def paid(evaluator: Evaluator, folder: Path, budget: int) -> PaidObjective:
    return PaidObjective(evaluator, budget, folder / "cell.jsonl", lambda _: None)


def test_all_that_is_asked_for_is_paid_in_images(tiny_model: Any, evaluator: Evaluator, tmp_path: Path) -> None:
    objective = paid(evaluator, tmp_path, 15)
    half = step_schedule(model_layout(tiny_model), 4, (0, 2))
    objective(half)
    distances = objective.output_distance()
    assert np.allclose(distances, distances.T)
    assert np.array_equal(distances > 0, ~np.eye(4, dtype=bool))
    objective.latent_error(half, 2)
    objective(half)
    assert [point.images for point in objective.points] == [4, 14]
    with pytest.raises(BudgetSpentError):
        objective.latent_error(half, 2)
    objective.latent_error(half, 1)
    assert objective.points[0][:2] == objective.points[1][:2]
    assert objective.points[0][:2] == pytest.approx((evaluator.evaluate(half).reward, half.gmacs), abs=1e-6)


def test_latents_are_those_of_the_uncached_run_where_nothing_is_reused(
    tiny_model: Any, evaluator: Evaluator, tmp_path: Path
) -> None:
    objective = paid(evaluator, tmp_path, 100)
    layout = model_layout(tiny_model)
    errors = [objective.latent_error(step_schedule(layout, 4, tuple(range(count))), 2) for count in (4, 2, 1)]
    assert errors[0] == 0
    assert (np.diff(errors) > 0).all()


def test_cell_that_was_broken_off_measures_nothing_twice(
    tiny_model: Any, evaluator: Evaluator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = step_schedule(model_layout(tiny_model), 4, (0, 2))
    first = paid(evaluator, tmp_path, 10)
    found = first(half), first.latent_error(half, 1)
    with (tmp_path / "cell.jsonl").open("a") as file:
        file.write('["half-wri')
    monkeypatch.setattr(evaluator, "evaluate", None)
    monkeypatch.setattr("benchmarks.search.cells.LatentError", None)
    again = paid(evaluator, tmp_path, 10)
    assert (again(half), again.latent_error(half, 1)) == found
    assert again.points == first.points
