from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ecad_automl.statistics import paired_difference


def test_one_image_per_prompt_agrees_with_the_paired_t_statistic() -> None:
    rng = np.random.default_rng(0)
    scores, baseline = rng.normal(size=(30, 1)), rng.normal(size=(30, 1))
    found = paired_difference(scores, baseline)
    expected = stats.ttest_rel(scores[:, 0], baseline[:, 0]).statistic
    assert found.mean / found.standard_error == pytest.approx(expected)


def test_images_of_one_prompt_count_as_one_observation() -> None:
    rng = np.random.default_rng(1)
    by_prompt = rng.normal(size=(20, 1))
    repeated = np.repeat(by_prompt, 5, axis=1)
    zeros = np.zeros_like(repeated)
    many, one = paired_difference(repeated, zeros), paired_difference(by_prompt, zeros[:, :1])
    assert many.mean == pytest.approx(one.mean)
    assert many.standard_error == pytest.approx(one.standard_error)


def test_a_shared_shift_of_all_prompts_has_no_error() -> None:
    baseline = np.random.default_rng(2).normal(size=(10, 2))
    found = paired_difference(baseline - 0.5, baseline)
    assert found.mean == pytest.approx(-0.5)
    assert found.standard_error == pytest.approx(0.0, abs=1e-12)
    low, high = found.interval()
    assert low == pytest.approx(high)


def test_one_prompt_gives_no_error() -> None:
    assert np.isnan(paired_difference(np.ones((1, 3)), np.zeros((1, 3))).standard_error)
