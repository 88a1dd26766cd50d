from __future__ import annotations

from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from benchmarks.search.whole_steps import computing_only, path_errors, predicted_paths


def outputs(steps: int, seed: int = 0) -> np.ndarray:
    """A path that turns: ``(steps, 5)``."""
    rng = np.random.default_rng(seed)
    return np.cumsum(np.cumsum(rng.normal(size=(steps, 5)), axis=0), axis=0) / 10


def error_of(path: tuple[int, ...], made: np.ndarray) -> float:
    """By running the predictor."""
    total = 0.0
    for step in range(len(made)):
        if step in path:
            continue
        done = [each for each in path if each < step]
        guess = made[done[-1]]
        if len(done) > 1:
            guess = guess + (made[done[-1]] - made[done[-2]]) * (step - done[-1]) / (done[-1] - done[-2])
        total += float(((guess - made[step]) ** 2).sum())
    return total


@pytest.mark.parametrize("seed", range(3))
def test_paths_are_the_best_of_all_masks_under_the_predictor(seed: int) -> None:
    made = outputs(7, seed)
    paths = predicted_paths(made @ made.T)
    assert [len(path) for path in paths] == list(range(1, 8))
    for count, path in enumerate(paths, start=1):
        masks = [(0, *rest) for rest in combinations(range(1, 7), count - 1)]
        assert error_of(path, made) == pytest.approx(min(error_of(mask, made) for mask in masks), abs=1e-9)


def test_errors_are_those_of_running_the_predictor() -> None:
    made = outputs(6)
    errors = path_errors(made @ made.T)
    assert errors[1, 3, 6] + errors[0, 1, 3] + errors[0, 0, 1] == pytest.approx(error_of((0, 1, 3), made))
    assert np.isinf(errors[3, 1, 4])


def test_outputs_between_computed_steps_are_extrapolated_in_each_branch() -> None:
    class Transformer(torch.nn.Module):
        calls = 0

        def forward(self, value: torch.Tensor) -> tuple[torch.Tensor]:
            self.calls += 1
            return (value,)

    transformer = Transformer()
    pipe = SimpleNamespace(transformer=transformer)
    for _ in range(2):
        with computing_only(pipe, (0, 1, 3), steps=6, calls=2):
            got = [[transformer(torch.tensor(float(s * s + 100 * b)))[0].item() for b in (0, 1)] for s in range(6)]
        assert [row[0] for row in got] == [0, 1, 2, 9, 13, 17]
        assert [row[1] - row[0] for row in got] == [100] * 6
    assert transformer.calls == 2 * 2 * 3
    assert transformer(torch.tensor(7.0))[0] == 7
