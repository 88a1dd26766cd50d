from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import BertTokenizer

from ecad_automl.errors import PromptError, RewardError
from ecad_automl.rewards import Reward, hash_state, weights_of
from ecad_automl.rewards.image_reward import ImageReward
from tests.references.pictures import make_pictures
from tests.rewards.image_reward.small import Sizes, published_state, write_folder

KEPT = Path(__file__).with_name("package_rewards.json")
PROMPTS = [
    "a red circle",
    "two blue squares at night",
    "a cat",
    "",
    "very long prompt " * 20,
    "a small red circle",
    "x",
]


def images(count: int, height: int = 40, width: int = 56) -> torch.Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(0))


def saved(tensor: torch.Tensor) -> list[Image.Image]:
    levels = (tensor * 255).round().byte().permute(0, 2, 3, 1).numpy()
    return [Image.fromarray(picture) for picture in levels]


def test_scores_equal_those_of_the_image_reward_package(tmp_path: Path, words: Path) -> None:
    reward = ImageReward.from_pretrained(write_folder(tmp_path, Sizes()), tokenizer=words, device="cpu")
    kept = json.loads(KEPT.read_text(encoding="utf-8"))
    made = make_pictures()
    pictures = [made[name] for name in kept["pictures"]]
    ours = [reward.score(pictures, [prompt] * len(pictures)) for prompt in kept["prompts"]]
    assert np.asarray(ours) == pytest.approx(np.asarray(kept["rewards"]), abs=1e-4)


def test_it_is_a_reward_of_float64_numbers_that_names_its_weights(reward: ImageReward, folder: Path) -> None:
    assert isinstance(reward, Reward)
    assert reward.name == "image-reward"
    scores = reward.score(images(3), PROMPTS[:3])
    assert scores.shape == (3,)
    assert scores.dtype == np.float64
    state = torch.load(folder / "ImageReward.pt", weights_only=True)
    (weights,) = weights_of(reward)
    assert weights.source == str(folder)
    assert weights.digest == hash_state(state)


def test_the_same_images_score_the_same_again_and_from_another_load(
    reward: ImageReward, folder: Path, words: Path
) -> None:
    again = ImageReward.from_checkpoint(folder / "ImageReward.pt", folder / "med_config.json", words, device="cpu")
    first = reward.score(images(4), PROMPTS[:4])
    assert (reward.score(images(4), PROMPTS[:4]) == first).all()
    assert again.score(images(4), PROMPTS[:4]) == pytest.approx(first, abs=1e-5)


def test_a_batch_scores_as_its_images_one_by_one(reward: ImageReward) -> None:
    batch = images(len(PROMPTS))
    single = [reward.score(batch[i : i + 1], [prompt])[0] for i, prompt in enumerate(PROMPTS)]
    assert reward.score(batch, PROMPTS) == pytest.approx(single, abs=1e-5)


def test_no_more_images_run_at_once_than_the_batch_size(reward: ImageReward, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []

    def watch(module: Any, given: tuple[torch.Tensor, ...]) -> None:
        sizes.append(len(given[0]))

    handle = reward._network.register_forward_pre_hook(watch)
    reward.score(images(7), PROMPTS)
    handle.remove()
    assert sizes == [4, 3]


def test_prompt_and_image_both_matter(reward: ImageReward) -> None:
    same_image = reward.score(images(1).expand(3, -1, -1, -1), PROMPTS[:3])
    same_prompt = reward.score(images(3), PROMPTS[:1] * 3)
    assert len(set(same_image.round(3))) == 3
    assert len(set(same_prompt.round(3))) == 3


def test_what_is_beyond_35_tokens_does_not_matter(reward: ImageReward) -> None:
    long = "red " * 33  # and [CLS] and [SEP]
    scores = reward.score(images(1).expand(3, -1, -1, -1), [long, long + "cat", "red " * 32])
    assert scores[1] == pytest.approx(scores[0], abs=1e-5)
    assert abs(scores[2] - scores[0]) > 1e-3


@pytest.mark.parametrize("size", [(32, 32), (40, 56), (97, 33), (20, 31), (64, 64)])
def test_a_tensor_scores_as_the_pictures_that_saving_it_gives(reward: ImageReward, size: tuple[int, int]) -> None:
    tensor = images(4, *size)
    assert reward.score(tensor, PROMPTS[:4]) == pytest.approx(reward.score(saved(tensor), PROMPTS[:4]), abs=1e-5)


def test_pictures_of_different_sizes_and_modes_score_in_one_batch(reward: ImageReward) -> None:
    pictures = list(make_pictures().values())[-4:]
    alone = [reward.score([picture], ["a cat"])[0] for picture in pictures]
    assert reward.score(pictures, ["a cat"] * 4) == pytest.approx(alone, abs=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, "float16"])
def test_half_precision_scores_nearly_the_same(
    reward: ImageReward, folder: Path, words: Path, dtype: str | torch.dtype
) -> None:
    half = ImageReward.from_pretrained(folder, tokenizer=words, device="cpu", dtype=dtype)
    full = reward.score(images(7), PROMPTS)
    scores = half.score(images(7).to(half._network.vision.dtype), PROMPTS)
    assert scores.dtype == np.float64
    assert scores == pytest.approx(full, abs=0.1 * full.std() + 0.05)
    assert (scores != full).any()


def test_nothing_is_scored_as_nothing(reward: ImageReward) -> None:
    assert reward.score(torch.zeros(0, 3, 8, 8), []).shape == (0,)
    assert reward.score([], []).shape == (0,)


def test_the_random_numbers_of_the_caller_are_left_alone(folder: Path, words: Path) -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    ImageReward.from_pretrained(folder, tokenizer=words, device="cpu").score(images(1), ["a cat"])
    assert torch.rand(1) == expected


def test_a_tokenizer_object_is_taken_and_left_as_it_was(reward: ImageReward, folder: Path, words: Path) -> None:
    tokenizer = BertTokenizer.from_pretrained(words)
    count = len(tokenizer)
    other = ImageReward.from_pretrained(folder, tokenizer=tokenizer, device="cpu")
    assert len(tokenizer) == count
    assert other.score(images(2), PROMPTS[:2]) == pytest.approx(reward.score(images(2), PROMPTS[:2]), abs=1e-5)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (torch.zeros(3, 8, 8), r"shape \(3, 8, 8\) .*; \(n, 3, h, w\) floats in"),
        (torch.zeros(1, 8, 8, 3), r"shape \(1, 8, 8, 3\)"),
        (torch.zeros(1, 3, 0, 8), r"shape \(1, 3, 0, 8\)"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), r"torch.uint8; \(n, 3, h, w\) floats in"),
        (torch.full((1, 3, 8, 8), 2.0), "from 2 to 2"),
        (torch.full((1, 3, 8, 8), -0.5), "from -0.5"),
        (torch.full((1, 3, 8, 8), torch.nan), "nan"),
        (Image.new("RGB", (8, 8)), "one PIL image; a list"),
        ([np.zeros((8, 8, 3))], "a ndarray as image 0; a PIL image is expected"),
        ([Image.new("RGB", (0, 8))], "empty Image as image 0"),
    ],
)
def test_what_is_no_image_is_refused(reward: ImageReward, bad: Any, message: str) -> None:
    with pytest.raises(RewardError, match=message):
        reward.score(bad, ["a cat"])


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        (["a cat"], "2 images and 1 prompts"),
        (["a"] * 3, "2 images and 3 prompts"),
        ("ab", "given 'ab' as prompts; a list of texts"),
        (["a cat", None], "None.* as prompts; a list of texts"),
    ],
)
def test_every_image_needs_one_prompt(reward: ImageReward, prompts: Any, message: str) -> None:
    with pytest.raises(PromptError, match=message):
        reward.score(images(2), prompts)


def test_weights_that_overflow_are_told_from_a_score(tmp_path: Path, words: Path, folder: Path) -> None:
    state = torch.load(folder / "ImageReward.pt", weights_only=True)
    state["mlp.layers.7.bias"] = torch.tensor([torch.inf])
    torch.save(state, tmp_path / "ImageReward.pt")
    broken = ImageReward.from_checkpoint(
        tmp_path / "ImageReward.pt", folder / "med_config.json", tokenizer=words, device="cpu"
    )
    with pytest.raises(RewardError, match="gave inf for image 0 of 1"):
        broken.score(images(1), ["a cat"])


def test_settings_that_do_not_exist_are_refused(folder: Path, words: Path) -> None:
    with pytest.raises(RewardError, match="cannot run in int8; choose one of float32"):
        ImageReward.from_pretrained(folder, tokenizer=words, dtype="int8")
    with pytest.raises(RewardError, match="cannot run in torch.int64"):
        ImageReward.from_pretrained(folder, tokenizer=words, dtype=torch.int64)
    with pytest.raises(RewardError, match="no device 'toaster'"):
        ImageReward.from_pretrained(folder, tokenizer=words, device="toaster")
    with pytest.raises(RewardError, match="0 images at once"):
        ImageReward.from_pretrained(folder, tokenizer=words, device="cpu", batch_size=0)


def test_the_published_scale_is_kept(tmp_path: Path, words: Path, folder: Path) -> None:
    state = published_state(Sizes(image_size=32))
    state["mlp.layers.7.weight"].zero_()
    for bias, expected in ((0.16717362830052426, 0.0), (0.16717362830052426 + 1.0333394966054072, 1.0)):
        state["mlp.layers.7.bias"].fill_(bias)
        torch.save(state, tmp_path / "ImageReward.pt")
        constant = ImageReward.from_checkpoint(
            tmp_path / "ImageReward.pt", folder / "med_config.json", words, device="cpu"
        )
        assert constant.score(images(1), ["a cat"])[0] == pytest.approx(expected, abs=1e-6)
