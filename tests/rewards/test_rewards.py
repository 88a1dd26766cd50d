from __future__ import annotations

import numpy as np
import pytest
import torch

from ecad_automl.errors import PromptError, RewardError
from ecad_automl.rewards import PairedReward, Reward, check_scores, load_reward, parse_constraint, reward_names
from ecad_automl.rewards.shapes import perceptual_distance
from ecad_automl.shapes import WEIGHTS
from ecad_automl.shapes.classifier import AttributeClassifier
from ecad_automl.shapes.world import parse_caption, prompts
from training.shapes.render import render


def pictures(captions: list[str], seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(render([parse_caption(caption) for caption in captions], rng))


def test_rewards_without_weights_of_their_own_to_fetch_load_and_keep_their_names() -> None:
    for name in ("shapes", "shapes-caption", "shapes-fidelity", "shapes-margin", "fidelity", "psnr", "ssim"):
        assert name in reward_names()
        reward = load_reward(name)
        assert reward.name == name
        assert isinstance(reward, Reward | PairedReward)


def test_caption_reward_prefers_the_picture_of_the_caption() -> None:
    captions = prompts("held-out", 16)
    images = pictures(captions)
    reward = load_reward("shapes-caption")
    assert isinstance(reward, Reward)
    right = reward.score(images, captions)
    wrong = reward.score(images.roll(1, dims=0), captions)
    assert right.shape == (16,)
    assert (right <= 0).all()
    assert right.mean() > -0.1
    assert (right > wrong).all()


def test_caption_reward_falls_as_noise_grows() -> None:
    captions = prompts("held-out", 16)
    images = pictures(captions)
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    reward = load_reward("shapes-caption")
    assert isinstance(reward, Reward)
    means = [reward.score((images + level * noise).clamp(0, 1), captions).mean() for level in (0.0, 0.3, 0.8)]
    assert means == sorted(means, reverse=True)


def test_one_hopeless_attribute_costs_a_bounded_amount() -> None:
    captions = ["a large solid red circle at the center on a white background"]
    reward = load_reward("shapes-caption")
    assert isinstance(reward, Reward)
    assert reward.score(torch.zeros(1, 3, 64, 64), captions)[0] >= np.log(0.01 / 7)


def test_a_prompt_of_another_world_is_refused() -> None:
    reward = load_reward("shapes-caption")
    assert isinstance(reward, Reward)
    with pytest.raises(PromptError, match="a photo of a cat"):
        reward.score(torch.zeros(1, 3, 64, 64), ["a photo of a cat"])


def test_fidelity_is_zero_for_the_reference_and_the_rms_distance_otherwise() -> None:
    images = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    reward = load_reward("fidelity")
    assert isinstance(reward, PairedReward)
    assert (reward.score_pairs(images, images, ["x"] * 4) == 0).all()
    assert reward.score_pairs(images + 0.25, images, ["x"] * 4) == pytest.approx([-0.25] * 4, abs=1e-6)


def test_the_shapes_reward_adds_fidelity_to_the_caption_reward() -> None:
    captions = prompts("held-out", 4)
    images, references = pictures(captions, 1), pictures(captions, 2)
    shapes, caption, fidelity = (load_reward(name) for name in ("shapes", "shapes-caption", "fidelity"))
    assert isinstance(shapes, PairedReward)
    assert isinstance(caption, Reward)
    assert isinstance(fidelity, PairedReward)
    apart = shapes.score_pairs(images, references, captions) - caption.score(images, captions)
    assert apart == pytest.approx(2 * fidelity.score_pairs(images, references, captions))


def test_the_margin_is_above_zero_where_the_classifier_sees_all_that_the_caption_says() -> None:
    captions = prompts("held-out", 16)
    images = pictures(captions)
    reward = load_reward("shapes-margin")
    assert isinstance(reward, Reward)
    right, wrong = reward.score(images, captions), reward.score(images.roll(1, dims=0), captions)
    assert (right > 0).mean() > 0.8  # the classifier itself errs on a few renders
    assert (wrong < 0).all()
    labels = [parse_caption(caption).attributes() for caption in captions]
    classifier = AttributeClassifier.load(WEIGHTS / "classifier")
    with torch.no_grad():
        guessed = torch.stack([logits.argmax(dim=1) for logits in classifier(images)], dim=1).tolist()
    seen = [
        all(k in (-1, g) for k, g in zip(known, guess, strict=True))
        for known, guess in zip(labels, guessed, strict=True)
    ]
    assert (right > 0).tolist() == seen


def test_perceptual_fidelity_is_zero_for_the_reference_and_falls_as_errors_grow() -> None:
    captions = prompts("held-out", 8)
    images = pictures(captions)
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    reward = load_reward("shapes-fidelity")
    assert isinstance(reward, PairedReward)
    scores = [reward.score_pairs((images + x * noise).clamp(0, 1), images, captions) for x in (0.0, 0.02, 0.1, 0.5)]
    np.testing.assert_array_equal(scores[0], 0.0)
    assert (np.diff(np.stack(scores), axis=0) < 0).all()


def test_perceptual_distance_is_that_of_lpips_without_learned_weights() -> None:
    from torchmetrics.functional.image.lpips import _normalize_tensor, _spatial_average

    generator = torch.Generator().manual_seed(0)
    made = [torch.randn(3, channels, 5, 4, generator=generator) for channels in (2, 7)]
    reference = [torch.randn(each.shape, generator=generator) for each in made]
    layers = zip(made, reference, strict=True)
    squares = [(_normalize_tensor(a) - _normalize_tensor(b)).square().sum(dim=1, keepdim=True) for a, b in layers]
    expected = sum(_spatial_average(each)[:, 0, 0, 0] for each in squares)
    torch.testing.assert_close(perceptual_distance(made, reference).float(), expected, rtol=1e-4, atol=1e-5)
    flat = torch.tensor([[3.0, 4.0]]), torch.tensor([[4.0, -3.0]])
    torch.testing.assert_close(
        perceptual_distance(flat[:1], flat[1:]), torch.tensor([2.0], dtype=torch.float64), rtol=1e-5, atol=0
    )


def test_an_unknown_reward_is_refused_with_the_known_ones() -> None:
    with pytest.raises(RewardError, match="'beauty'.*shapes-caption"):
        load_reward("beauty")


def test_a_reward_of_ones_own_is_named_by_module_and_attribute(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(  # type: ignore[operator]
        "import numpy as np\n"
        "class Brightness:\n"
        "    name = 'brightness'\n"
        "    def score(self, images, prompts):\n"
        "        return images.mean(dim=(1, 2, 3)).numpy().astype(np.float64)\n"
        "class Nothing: ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    reward = load_reward("mine:Brightness")
    assert isinstance(reward, Reward)
    assert reward.score(torch.ones(2, 3, 4, 4), ["a", "b"]).tolist() == [1.0, 1.0]
    with pytest.raises(RewardError, match="mine:Nothing"):
        load_reward("mine:Nothing")
    with pytest.raises(RewardError, match="cannot be made"):
        load_reward("mine:Missing")
    with pytest.raises(RewardError, match="cannot be made"):
        load_reward("no_such_module:Thing")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_no_number_is_refused_with_its_place(bad: float) -> None:
    with pytest.raises(RewardError, match="image 1 of 3"):
        check_scores("mine", np.array([0.0, bad, 1.0]), 3)


def test_scores_of_a_wrong_shape_are_refused() -> None:
    with pytest.raises(RewardError, match=r"\(2, 1\) for 2 images"):
        check_scores("mine", np.zeros((2, 1)), 2)


@pytest.mark.parametrize("text", ["fidelity", "fidelity>0.1", ">=3", "fidelity>=nan", "fidelity>=much", "a<=1<=2"])
def test_what_is_no_constraint_is_refused(text: str) -> None:
    with pytest.raises(RewardError, match="such as fidelity>=-0.05"):
        parse_constraint(text)
