from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from ecad_automl.errors import EvaluationError, FileError
from ecad_automl.metrics import InceptionFeatures
from ecad_automl.metrics.inception import resize_like_tensorflow
from ecad_automl.rewards import hash_state
from tests.metrics.random_inception import save_inception


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_inception(tmp_path_factory.mktemp("inception") / "weights.pth")


@pytest.fixture(scope="module")
def extractor(weights: Path) -> InceptionFeatures:
    return InceptionFeatures(weights, device="cpu")


def images(count: int = 2, height: int = 40, width: int = 52) -> Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(0))


def test_features_are_those_of_single_images(extractor: InceptionFeatures, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ecad_automl.metrics.inception._BATCH", 2)
    found = extractor.features(images(3))
    assert found.shape == (3, 2048)
    assert found.dtype == np.float32
    assert found.std(axis=0).mean() > 0.01
    assert found[2] == pytest.approx(extractor.features(images(3)[2:])[0], abs=1e-4)


def test_features_are_those_of_images_of_eight_bits(extractor: InceptionFeatures) -> None:
    rounded = (images() * 255).round() / 255
    assert (extractor.features(images()[:1]) == extractor.features(rounded[:1])).all()


def test_weights_are_named_with_their_digest(weights: Path, extractor: InceptionFeatures) -> None:
    (found,) = extractor.weights
    assert found.source == str(weights)
    assert found.digest == hash_state(torch.load(weights, weights_only=True))


def test_weights_are_read_from_safetensors_as_well(weights: Path, extractor: InceptionFeatures, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file(torch.load(weights, weights_only=True), tmp_path / "weights.safetensors")
    other = InceptionFeatures(tmp_path / "weights.safetensors", device="cpu")
    assert other.weights[0].digest == extractor.weights[0].digest


def test_weights_without_a_name_are_those_in_the_cache_of_torch_hub(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    kept = tmp_path / "hub" / "checkpoints" / "weights-inception-2015-12-05-6726825d.pth"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(weights.read_bytes())
    (found,) = InceptionFeatures(device="cpu").weights
    assert found.digest == hash_state(torch.load(weights, weights_only=True))
    assert found.source.startswith("https://")


def test_weights_that_cannot_be_downloaded_are_asked_for_by_their_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    # Nothing answers there.
    monkeypatch.setattr("ecad_automl.metrics.inception._URL", "http://127.0.0.1:9/weights-0123456789.pth")
    with pytest.raises(EvaluationError, match=r"cannot be downloaded .*checkpoints/weights-0123456789\.pth"):
        InceptionFeatures(device="cpu")
    assert not list(tmp_path.rglob("*.pth"))


def test_the_resizing_of_tensorflow_starts_at_the_first_pixel_and_skips() -> None:
    row = torch.tensor([0.0, 1.0, 4.0]).expand(1, 1, 3, 3)
    larger = resize_like_tensorflow(row, 6)
    assert larger[0, 0, 0].tolist() == [0.0, 0.5, 1.0, 2.5, 4.0, 4.0]
    every_second = torch.arange(8.0).expand(1, 1, 8, 8)
    assert resize_like_tensorflow(every_second, 4)[0, 0, 0].tolist() == [0.0, 2.0, 4.0, 6.0]
    tall = resize_like_tensorflow(row.transpose(2, 3), 6)
    assert torch.equal(tall, larger.transpose(2, 3))


@pytest.mark.parametrize("change", ["lacks", "adds"])
def test_weights_of_another_network_are_refused(weights: Path, tmp_path: Path, change: str) -> None:
    state = torch.load(weights, weights_only=True)
    if change == "lacks":
        del state["Mixed_7c.branch_pool.conv.weight"]
    else:
        state["AuxLogits.fc.weight"] = torch.zeros(2)
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(EvaluationError, match=r"not of this Inception v3 .*(Mixed_7c\.branch_pool|AuxLogits)"):
        InceptionFeatures(tmp_path / "other.pth", device="cpu")


def test_files_that_hold_code_or_no_weights_are_refused(tmp_path: Path) -> None:
    torch.save(Path("x"), tmp_path / "code.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    for name, fault in (("code.pth", "cannot be read"), ("list.pth", "no state dict"), ("none.pth", "cannot be read")):
        with pytest.raises(FileError, match=fault):
            InceptionFeatures(tmp_path / name, device="cpu")


def test_images_of_another_shape_are_refused(extractor: InceptionFeatures) -> None:
    with pytest.raises(EvaluationError, match=r"shape \(3, 40, 52\)"):
        extractor.features(images()[0])
