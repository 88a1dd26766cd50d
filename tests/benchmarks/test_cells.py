from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.search.cells import PaidObjective
from benchmarks.search.objective import BudgetSpentError
from benchmarks.search.whole_steps import distances, step_schedule
from ecad_automl.judging.evaluation import Evaluator
from ecad_automl.models import model_layout
from ecad_automl.schedules.schedule import Schedule


class Brightness:
    name = "brightness"

    def score(self, images: torch.Tensor, prompts: Sequence[str]) -> Any:
        return images.double().mean(dim=(1, 2, 3)).numpy()


@pytest.fixture
def evaluator(tiny_model: Any) -> Evaluator:
    return Evaluator(tiny_model.pipe, ["a red circle", "a cross"], [0, 1], Brightness(), tiny_model.settings)


@pytest.fixture
def paid(tiny_model: Any, evaluator: Evaluator, tmp_path: Path) -> Callable[[int], PaidObjective]:
    """From a budget in images; a whole evaluation takes 4."""
    return lambda budget: PaidObjective(
        evaluator,
        model_layout(tiny_model),
        budget=budget,
        shortest=2,
        log=tmp_path / "cell.jsonl",
        progress=lambda _: None,
    )


Paid = Callable[[int], PaidObjective]


def test_all_that_is_asked_for_is_paid_in_images(tiny_model: Any, evaluator: Evaluator, paid: Paid) -> None:
    objective = paid(18)
    half = step_schedule(model_layout(tiny_model), 4, (0, 2))
    objective(half)
    moved = distances(objective.output_products())
    assert np.allclose(moved, moved.T)
    assert np.array_equal(moved > 0, ~np.eye(4, dtype=bool))
    objective.latent_error(half, 2)
    objective(step_schedule(model_layout(tiny_model), 4, (0, 1)))
    assert [point.images for point in objective.points] == [4, 14]
    assert objective.floor() == objective.floor() == pytest.approx(evaluator.evaluate_steps(2).reward, abs=1e-6)
    with pytest.raises(BudgetSpentError):
        objective.latent_error(half, 2)
    with pytest.raises(BudgetSpentError):
        objective.drift()
    assert objective.points[0][:2] == pytest.approx((evaluator.evaluate(half).reward, half.gmacs), abs=1e-6)
    assert len(objective.points[0].scores) == 4
    assert np.mean(objective.points[0].scores) == pytest.approx(objective.points[0].reward)


def test_what_was_asked_before_is_free_and_no_point_but_not_for_ever(tiny_model: Any, paid: Paid) -> None:
    objective = paid(8)
    layout = model_layout(tiny_model)
    half = step_schedule(layout, 4, (0, 2))
    assert objective(half) == objective(step_schedule(layout, 4, (0, 2)))
    assert [point.images for point in objective.points] == [4]
    with pytest.raises(BudgetSpentError):
        list(map(objective, [half] * 1000))


def test_extrapolated_steps_cost_nothing_and_uncached_ones_change_nothing(
    tiny_model: Any, evaluator: Evaluator, paid: Paid
) -> None:
    objective = paid(100)
    full = model_layout(tiny_model).step_macs * 4 / 1e9
    assert objective.predicted((0, 1, 2, 3)) == pytest.approx((evaluator.baseline().reward, full), abs=1e-6)
    reward, gmacs = objective.predicted((0, 2))
    assert gmacs == pytest.approx(full / 2)
    assert reward != evaluator.baseline().reward
    full_text = Schedule.all_compute(model_layout(tiny_model), 4).to_genome()
    assert [(point.genome, point.images) for point in objective.points] == [(full_text, 0), ("steps:0,2", 4)]


def test_latents_are_those_of_the_uncached_run_where_nothing_is_reused(tiny_model: Any, paid: Paid) -> None:
    objective = paid(100)
    layout = model_layout(tiny_model)
    errors = [objective.latent_error(step_schedule(layout, 4, tuple(range(count))), 2) for count in (4, 2, 1)]
    assert errors[0] == 0
    assert min(errors[1:]) > 0


def test_cell_that_was_broken_off_measures_nothing_twice(
    tiny_model: Any, evaluator: Evaluator, paid: Paid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = step_schedule(model_layout(tiny_model), 4, (0, 2))
    first = paid(10)
    found = first(half), first.latent_error(half, 1)
    with (tmp_path / "cell.jsonl").open("a") as file:
        file.write('["half-wri')
    monkeypatch.setattr(evaluator, "evaluate", None)
    monkeypatch.setattr("benchmarks.search.cells.LatentError", None)
    again = paid(10)
    assert (again(half), again.latent_error(half, 1)) == found
    assert again.points == first.points
