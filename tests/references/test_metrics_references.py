"""Metrics beside the packages that their numbers are compared with in papers.

Runs where these are in front of the path, ``PYTHONPATH=.references/torchvision pytest tests/references`` (see
:mod:`tests.references.install`).
"""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from ecad_automl.errors import RewardError
from ecad_automl.metrics import LPIPS, FeatureStatistics, InceptionFeatures, frechet_distance
from ecad_automl.rewards import PairedReward, higher_is_better, load_reward
from tests.metrics.random_inception import save_inception
from tests.references.torchvision_ops import declare_operators

needs_packages = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("torchvision", "torch_fidelity", "lpips")),
    reason="torchvision, torch-fidelity and lpips are not on the path: python -m tests.references.install torchvision",
)

PROMPTS = ["x"] * 4


def images(count: int = 4, height: int = 64, width: int = 80, seed: int = 0) -> Tensor:
    """Smooth noise of 8 bits."""
    coarse = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    smooth = functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)
    return (smooth * 255).round() / 255


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Torch hub's cache, and a torchvision that can be imported."""
    declare_operators()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    checkpoints = tmp_path / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    return checkpoints


def save_classifier(net: str, hub: Path, seed: int = 0) -> Path:
    """Random weights under the name under which torchvision looks for its own."""
    import torchvision

    names = {"alex": ("alexnet", "AlexNet_Weights"), "squeeze": ("squeezenet1_1", "SqueezeNet1_1_Weights")}
    name, weights = names[net]
    torch.manual_seed(seed)
    model = getattr(torchvision.models, name)(weights=None)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    file = hub / Path(getattr(torchvision.models, weights).DEFAULT.url).name
    torch.save(model.state_dict(), file)
    return file


@needs_packages
@pytest.mark.parametrize("net", ["alex", "squeeze"])
def test_lpips_is_that_of_its_authors(net: str, hub: Path) -> None:
    save_classifier(net, hub)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it asks torchvision in an outdated way
        import lpips

        theirs = lpips.LPIPS(net=net, verbose=False).eval()
    changed, references = images(), 0.8 * images() + 0.2 * images(seed=1)
    with torch.no_grad():
        expected = theirs(changed, references, normalize=True).flatten().double().numpy()
    ours = LPIPS(net, device="cpu")
    assert expected.min() > 1e-3
    assert ours.score_pairs(changed, references, PROMPTS) == pytest.approx(expected, rel=1e-4)
    assert ours.score_pairs(changed, changed, PROMPTS) == pytest.approx([0] * 4, abs=1e-7)


@needs_packages
def test_lpips_is_a_distance_and_names_its_weights(hub: Path) -> None:
    save_classifier("alex", hub)
    one = load_reward("lpips", device="cpu")
    assert isinstance(one, PairedReward)
    assert isinstance(one, LPIPS)
    assert not higher_is_better(one)
    negated = load_reward("-lpips", device="cpu")
    assert isinstance(negated, PairedReward)
    assert higher_is_better(negated)
    assert negated.name == "-lpips"
    assert (
        negated.score_pairs(images(), images(seed=1), PROMPTS) == -one.score_pairs(images(), images(seed=1), PROMPTS)
    ).all()
    save_classifier("alex", hub, seed=1)
    assert LPIPS(device="cpu").weights != one.weights


@needs_packages
def test_lpips_without_weights_says_where_they_belong(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("torch.hub.download_url_to_file", refuse)
    with pytest.raises(RewardError, match=r"weights of the 'alex' net .*no network.*hub/checkpoints"):
        LPIPS(device="cpu")


@needs_packages
@pytest.mark.parametrize("size", [(64, 80), (299, 299), (400, 320)])
def test_inception_features_are_those_of_torch_fidelity(size: tuple[int, int], hub: Path, tmp_path: Path) -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    weights = save_inception(tmp_path / "weights.pth")
    theirs = FeatureExtractorInceptionV3("inception", ["2048"], str(weights))
    pictures = images(2, *size)
    (expected,) = theirs((pictures * 255).round().byte())
    found = InceptionFeatures(weights, device="cpu").features(pictures)
    spread = float(expected.std())
    assert np.abs(found - expected.numpy()).max() < 1e-4 * spread
    assert float((expected[0] - expected[1]).abs().mean()) > 0.01 * spread


@needs_packages
def test_the_network_holds_the_weights_of_torch_fidelity_and_no_others(hub: Path, tmp_path: Path) -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    weights = save_inception(tmp_path / "weights.pth")
    theirs = FeatureExtractorInceptionV3("inception", ["2048"], str(weights)).state_dict()
    ours = torch.load(weights, weights_only=True)
    assert {name: value.shape for name, value in theirs.items()} == {name: value.shape for name, value in ours.items()}


@pytest.mark.slow
@needs_packages
def test_fid_is_that_of_torchmetrics(hub: Path, tmp_path: Path) -> None:
    weights = save_inception(tmp_path / "weights.pth")
    extractor = InceptionFeatures(weights, device="cpu")
    sets = [images(6, seed=0), images(5, seed=1)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it keeps what it computes in double precision
        from torchmetrics.image.fid import FrechetInceptionDistance

        metric = FrechetInceptionDistance(feature_extractor_weights_path=str(weights), antialias=False)
        for real, pictures in zip((True, False), sets, strict=True):
            metric.update((pictures * 255).round().byte(), real=real)
        expected = float(metric.compute())
    statistics = [FeatureStatistics.from_features(extractor.features(pictures)) for pictures in sets]
    assert frechet_distance(*statistics) == pytest.approx(expected, rel=1e-4)
