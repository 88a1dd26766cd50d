"""The process that scores with the package, spoken to by the real protocol; the package in it is a stand-in."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ecad_automl.errors import PromptError, RewardError
from ecad_automl.rewards import Reward, hash_state
from ecad_automl.rewards.image_reward import PackagedImageReward
from ecad_automl.rewards.image_reward.package import PYTHON_VARIABLE

#: Prints, as the package does; judges what it can see of picture and prompt.
STAND_IN = """
import os
import sys
import numpy as np

class Model:
    def state_dict(self):
        import torch
        return {"weight": torch.arange(3.0)}

    def score(self, prompt, image):
        print("scoring", prompt)
        if prompt == "fail":
            raise ValueError("no idea what\\nthat is")
        if prompt == "crash":
            print("out of memory", file=sys.stderr)
            sys.stderr.flush()
            os._exit(7)
        if prompt == "nan":
            return float("nan")
        levels = np.asarray(image).astype(float)
        assert levels.shape[2] == 3
        return 1000.0 * len(prompt) + levels[0, 0, 0] + image.size[0] / 10 + image.size[1] / 1000

def load(name, device="none", download_root=None, med_config=None):
    print("load checkpoint from", name)
    if name == "missing":
        raise RuntimeError("Model missing not found")
    print(f"{name} {device} {med_config}", file=sys.stderr)
    Model.loaded = (name, device, med_config)
    return Model()
"""


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a module ``ImageReward``."""
    folder = tmp_path_factory.mktemp("package")
    (folder / "ImageReward.py").write_text(STAND_IN)
    return folder


@pytest.fixture
def on_path(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The processes of a test find the stand-in."""
    monkeypatch.setenv("PYTHONPATH", str(stand_in))


@pytest.fixture(scope="module")
def packaged(stand_in: Path) -> Iterator[PackagedImageReward]:
    """One process, which tests share."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(stand_in))
        with PackagedImageReward() as reward:
            yield reward


def expected(pictures: list[Image.Image], prompts: list[str]) -> list[float]:
    pairs = zip(pictures, prompts, strict=True)
    return [
        1000 * len(text) + float(np.asarray(picture)[0, 0, 0]) + picture.size[0] / 10 + picture.size[1] / 1000
        for picture, text in pairs
    ]


def test_pictures_of_different_sizes_reach_the_package_with_their_prompts(packaged: PackagedImageReward) -> None:
    pictures = [Image.new("RGB", (width, height), (10 * width, 0, 0)) for width, height in ((3, 5), (7, 2), (1, 1))]
    prompts = ["a cat", "", "東京"]
    scores = packaged.score(pictures, prompts)
    assert scores.tolist() == pytest.approx(expected(pictures, prompts))
    assert scores.dtype == np.float64
    assert isinstance(packaged, Reward)


def test_a_tensor_reaches_the_package_as_levels_of_8_bits(packaged: PackagedImageReward) -> None:
    images = torch.rand(5, 3, 6, 4, generator=torch.Generator().manual_seed(0))
    pictures = [Image.fromarray((image * 255).round().byte().permute(1, 2, 0).numpy()) for image in images]
    assert packaged.score(images, ["x"] * 5).tolist() == pytest.approx(expected(pictures, ["x"] * 5))


def test_more_than_a_pipe_holds_passes_both_ways(packaged: PackagedImageReward) -> None:
    images = torch.zeros(2000, 3, 32, 32)
    assert packaged.score(images, ["x" * 50] * 2000).shape == (2000,)


def test_the_package_names_its_weights_by_their_hash(packaged: PackagedImageReward) -> None:
    (weights,) = packaged.weights
    assert weights.source == "ImageReward-v1.0"
    assert weights.digest == hash_state({"weight": torch.arange(3.0)})


def test_an_error_of_the_package_is_reported_and_the_process_goes_on(packaged: PackagedImageReward) -> None:
    with pytest.raises(RewardError, match=r"could not score \(ValueError: no idea what that is\)"):
        packaged.score(torch.zeros(1, 3, 4, 4), ["fail"])
    with pytest.raises(RewardError, match="gave nan for image 1 of 2"):
        packaged.score(torch.zeros(2, 3, 4, 4), ["x", "nan"])
    assert packaged.score(torch.zeros(1, 3, 4, 4), ["x"]) == pytest.approx([1000.404])


def test_bad_input_is_refused_before_it_is_sent(packaged: PackagedImageReward) -> None:
    with pytest.raises(PromptError, match="2 images and 1 prompts"):
        packaged.score(torch.zeros(2, 3, 4, 4), ["x"])
    with pytest.raises(RewardError, match="in \\[0, 1\\]"):
        packaged.score(torch.full((1, 3, 4, 4), 255.0), ["x"])
    assert packaged.score(torch.zeros(0, 3, 4, 4), []).shape == (0,)


def test_a_process_that_dies_is_reported_with_its_last_words(on_path: None) -> None:
    reward = PackagedImageReward(model="some.pt", med_config="med.json", device="cpu")
    with pytest.raises(
        RewardError, match="broke off when it was to score .exit status 7;.*some.pt cpu med.json.*out of memory"
    ):
        reward.score(torch.zeros(1, 3, 4, 4), ["crash"])
    with pytest.raises(RewardError, match="was closed; make another"):
        reward.score(torch.zeros(1, 3, 4, 4), ["x"])


def test_a_process_that_is_killed_is_reported(on_path: None) -> None:
    with PackagedImageReward() as reward:
        os.kill(reward._process.pid, signal.SIGKILL)
        reward._process.wait()
        with pytest.raises(RewardError, match="exit status -9"):
            reward.score(torch.zeros(1, 3, 4, 4), ["x"])


def test_a_model_that_the_package_does_not_load_is_reported(on_path: None) -> None:
    with pytest.raises(RewardError, match=r"could not be loaded by .* \(RuntimeError: Model missing not found\)"):
        PackagedImageReward(model="missing")


def test_an_environment_without_the_package_is_told_from_one_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ImageReward.py").write_text("import surely_not_installed")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(RewardError, match=f"No module named 'surely_not_installed'.*python=.*{PYTHON_VARIABLE}"):
        PackagedImageReward()


def test_the_interpreter_is_that_of_the_argument_or_of_the_environment_variable(
    tmp_path: Path, stand_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrapper = tmp_path / "python-of-its-own"
    wrapper.write_text(f'#!/bin/sh\nPYTHONPATH={stand_in} exec {sys.executable} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setenv(PYTHON_VARIABLE, str(wrapper))
    with PackagedImageReward() as reward:
        assert reward.score(torch.zeros(1, 3, 4, 4), ["x"]) == pytest.approx([1000.404])
    with pytest.raises(RewardError, match="'/no/such/python' for the package image-reward cannot be started"):
        PackagedImageReward("/no/such/python")


def test_an_interpreter_that_speaks_another_language_is_refused() -> None:
    with pytest.raises(RewardError, match="broke off when it was to load its model"):
        PackagedImageReward("/bin/true")
    with pytest.raises(RewardError, match="broke off when it was to load its model"):
        PackagedImageReward("/bin/echo")


def test_the_process_ends_with_the_object(on_path: None) -> None:
    reward = PackagedImageReward()
    process = reward._process
    del reward
    assert process.poll() == 0


def test_an_interrupted_answer_is_not_taken_for_the_next(on_path: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(text: str) -> Any:
        raise KeyboardInterrupt

    with PackagedImageReward() as reward:
        with monkeypatch.context() as patch:
            patch.setattr(json, "loads", interrupt)
            with pytest.raises(KeyboardInterrupt):
                reward.score(torch.zeros(1, 3, 4, 4), ["x"])
        with pytest.raises(RewardError, match="was closed"):
            reward.score(torch.zeros(1, 3, 4, 4), ["xx"])
