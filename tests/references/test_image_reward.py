"""ImageReward beside the package image-reward 1.5 itself; ``python -m tests.references.prepare`` makes it run."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from ecad_automl.rewards.image_reward import ImageReward, PackagedImageReward
from ecad_automl.rewards.image_reward._inputs import load_tokenizer, to_pixels, tokenize
from tests.references.image_reward_cases import CASES, PROMPTS
from tests.references.install import environment
from tests.references.pictures import make_pictures
from tests.references.prepare import FIXTURES, image_reward_ready
from tests.rewards.image_reward.small import VOCABULARY, Sizes

pytestmark = pytest.mark.skipif(
    not image_reward_ready(),
    reason="needs what the package image-reward computes: run `python -m tests.references.prepare`",
)

WORDS = FIXTURES / "bert-base-uncased"
KEPT = Path(__file__).parents[1] / "rewards" / "image_reward" / "package_rewards.json"

#: How much rewards, of a size up to 20, may differ in float32.
TOLERANCE = 1e-4


def picture(name: str) -> Image.Image:
    with Image.open(FIXTURES / "pictures" / f"{name}.png") as image:
        image.load()
        return image


@pytest.mark.parametrize("case", CASES)
def test_rewards_equal_the_package_s(case: str) -> None:
    if not (FIXTURES / case).is_dir():
        pytest.skip("run `python -m tests.references.prepare --full-size`")
    theirs = json.loads((FIXTURES / case / "rewards.json").read_text())
    ours = ImageReward.from_pretrained(FIXTURES / case, tokenizer=WORDS, device="cpu", batch_size=3)
    pictures = [picture(name) for name in theirs["pictures"]]
    rewards = [ours.score(pictures, [prompt] * len(pictures)) for prompt in theirs["prompts"]]
    assert np.std(theirs["rewards"]) > 1
    assert np.abs(np.asarray(rewards) - np.asarray(theirs["rewards"])).max() < TOLERANCE


@pytest.mark.parametrize("name", make_pictures())
def test_pixels_equal_the_package_s_to_the_bit(name: str) -> None:
    theirs = load_file(FIXTURES / "pixels.safetensors")[name]
    assert (to_pixels([picture(name)], 224)[0] == theirs).all()


def test_tokens_equal_the_package_s() -> None:
    theirs = json.loads((FIXTURES / "tokens.json").read_text())
    ids, mask = tokenize(load_tokenizer(WORDS, len(VOCABULARY) + 2), PROMPTS)
    assert ids.tolist() == theirs["ids"]
    assert mask.tolist() == theirs["mask"]


def test_the_figures_kept_with_the_tests_are_the_package_s() -> None:
    kept = json.loads(KEPT.read_text(encoding="utf-8"))
    assert CASES["one-head"] == Sizes()
    theirs = json.loads((FIXTURES / "one-head" / "rewards.json").read_text())
    places = [theirs["pictures"].index(name) for name in kept["pictures"]]
    assert kept["prompts"] == theirs["prompts"]
    assert np.asarray(kept["rewards"]) == pytest.approx(np.asarray(theirs["rewards"])[:, places], abs=TOLERANCE)


def test_the_package_in_its_own_process_scores_as_the_package_and_names_the_same_weights(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "from tests.references.reference_package import import_package, use_sizes\n"
        "from tests.references.image_reward_cases import CASES\n"
        "import_package()\n"
        "use_sizes(CASES['two-heads'])\n"
    )
    path = f"{tmp_path}:{environment('image-reward')['PYTHONPATH']}"
    python = tmp_path / "python"
    # The package looks for its tokenizer in the working directory first.
    python.write_text(
        f'#!/bin/sh\ncd {shlex.quote(str(FIXTURES))}\nPYTHONPATH={shlex.quote(path)} exec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    case = FIXTURES / "two-heads"
    theirs = json.loads((case / "rewards.json").read_text())
    names = [name for name in theirs["pictures"] if picture(name).mode == "RGB"]
    places = [theirs["pictures"].index(name) for name in names]
    with PackagedImageReward(
        python, model=case / "ImageReward.pt", med_config=case / "med_config.json", device="cpu"
    ) as packaged:
        rewards = packaged.score([picture(name) for name in names], [PROMPTS[1]] * len(names))
        digest = packaged.weights[0].digest
    assert rewards == pytest.approx(np.asarray(theirs["rewards"])[1, places], abs=1e-5)
    assert digest == ImageReward.from_pretrained(case, tokenizer=WORDS, device="cpu").weights[0].digest
