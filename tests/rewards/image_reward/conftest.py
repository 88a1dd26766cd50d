"""A small ImageReward that tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from ecad_automl.rewards.image_reward import ImageReward
from tests.rewards.image_reward.small import QUICK, write_folder, write_words


@pytest.fixture(scope="session")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small vocabulary."""
    return write_words(tmp_path_factory.mktemp("words"))


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the checkpoint of a model for images of 32 pixels."""
    return write_folder(tmp_path_factory.mktemp("image-reward"), QUICK)


@pytest.fixture(scope="session")
def reward(folder: Path, words: Path) -> ImageReward:
    """That model."""
    return ImageReward.from_pretrained(folder, tokenizer=words, device="cpu", batch_size=4)
