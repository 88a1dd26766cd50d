from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ecad_automl.errors import RewardError
from ecad_automl.metrics import LPIPS, PSNR, SSIM
from ecad_automl.rewards import PairedReward, higher_is_better

KINDS: list[Callable[..., Any]] = [PSNR, SSIM]


def images(count: int = 3, side: int = 24, seed: int = 0) -> Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


def test_psnr_is_that_of_the_mean_squared_error_of_each_image() -> None:
    references = images()
    noise = torch.randn(references.shape, generator=torch.Generator().manual_seed(1))
    changed = references + noise * torch.tensor([0.01, 0.1, 0.3]).view(3, 1, 1, 1)
    scores = PSNR().score_pairs(changed, references, ["x"] * 3)
    errors = ((changed.double() - references.double()) ** 2).mean(dim=(1, 2, 3))
    assert scores == pytest.approx(-10 * np.log10(errors.numpy()), rel=1e-6)
    assert (np.diff(scores) < 0).all()


def test_psnr_of_equal_images_is_its_cap() -> None:
    assert PSNR().score_pairs(images(), images(), ["x"] * 3).tolist() == [100.0] * 3
    assert PSNR().score_pairs(images(), images() + 1e-6, ["x"] * 3).tolist() == [100.0] * 3


def test_ssim_is_that_of_the_paper() -> None:
    from scipy.ndimage import gaussian_filter

    first, second = images(1, 40)[0].double().numpy(), images(1, 40, seed=1)[0].double().numpy()
    second = 0.7 * first + 0.3 * second

    def blurred(x: np.ndarray) -> np.ndarray:
        """With a window of 11 pixels, the image mirrored at its borders."""
        return np.stack([gaussian_filter(channel, 1.5, radius=5, mode="mirror") for channel in x])

    means = blurred(first), blurred(second)
    variances = blurred(first**2) - means[0] ** 2, blurred(second**2) - means[1] ** 2
    covariance = blurred(first * second) - means[0] * means[1]
    expected = ((2 * means[0] * means[1] + 0.01**2) * (2 * covariance + 0.03**2)) / (
        (means[0] ** 2 + means[1] ** 2 + 0.01**2) * (variances[0] + variances[1] + 0.03**2)
    )
    found = SSIM().score_pairs(torch.tensor(first)[None].float(), torch.tensor(second)[None].float(), ["x"])
    assert found == pytest.approx([expected.mean()], abs=1e-5)
    assert 0.1 < found[0] < 0.99


def test_ssim_of_equal_images_is_one_and_falls_with_noise() -> None:
    references = images(2)
    assert SSIM().score_pairs(references, references, ["x"] * 2) == pytest.approx([1, 1], abs=1e-6)
    noise = torch.randn(references.shape, generator=torch.Generator().manual_seed(1))
    scores = [
        SSIM().score_pairs((references + level * noise).clamp(0, 1), references, ["x"] * 2).mean()
        for level in (0.01, 0.1, 0.5)
    ]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("kind", KINDS)
def test_each_image_is_scored_by_itself_whatever_their_number(kind: Callable[..., Any]) -> None:
    changed, references = images(19), images(19, seed=1)
    scores = kind().score_pairs(changed, references, ["x"] * 19)
    alone = [kind().score_pairs(changed[i : i + 1], references[i : i + 1], ["x"])[0] for i in range(19)]
    assert scores.shape == (19,)
    assert scores.dtype == np.float64
    assert scores == pytest.approx(alone, rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_metrics_of_pixels_are_paired_rewards_of_which_more_is_better(kind: Callable[..., Any]) -> None:
    assert isinstance(kind(), PairedReward)
    assert higher_is_better(kind())


@pytest.mark.parametrize("kind", KINDS)
def test_images_that_do_not_fit_their_references_are_refused(kind: Callable[..., Any]) -> None:
    metric = kind()
    with pytest.raises(RewardError, match="reference of its own size"):
        metric.score_pairs(images(3), images(2), ["x"] * 3)
    with pytest.raises(RewardError, match=r"references of shape \(3, 24, 24\)"):
        metric.score_pairs(images(3), images(3)[0], ["x"] * 3)
    with pytest.raises(RewardError, match=r"torch\.uint8"):
        metric.score_pairs(images(3).byte(), images(3), ["x"] * 3)


def test_images_smaller_than_the_window_of_ssim_are_refused() -> None:
    assert SSIM().score_pairs(images(1, 11), images(1, 11), ["x"]) == pytest.approx([1])
    with pytest.raises(RewardError, match="10 x 10 pixels; at least 11 x 11"):
        SSIM().score_pairs(images(1, 10), images(1, 10), ["x"])


@pytest.mark.parametrize("kind", [*KINDS, LPIPS])
def test_without_torchmetrics_the_extra_to_install_is_named(
    kind: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchmetrics"]:
        monkeypatch.delitem(sys.modules, name)

    class _Missing:
        @staticmethod
        def find_spec(name: str, *_: object) -> None:
            if name.partition(".")[0] == "torchmetrics":
                raise ModuleNotFoundError("No module named 'torchmetrics'", name="torchmetrics")

    monkeypatch.setattr(sys, "meta_path", [_Missing, *sys.meta_path])
    with pytest.raises(RewardError, match=r"needs torchmetrics .*pip install 'ecad-automl\[metrics\]'"):
        kind()


def test_lpips_knows_its_nets() -> None:
    with pytest.raises(RewardError, match="no net 'resnet'; choose one of alex, vgg, squeeze"):
        LPIPS("resnet")
