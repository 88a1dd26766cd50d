from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ecad_automl.errors import RewardError
from ecad_automl.rewards import PairedReward, Reward, Weights, higher_is_better, load_reward, reward_names, weights_of
from ecad_automl.rewards.weighted import Term, maximized, parse_sum, weigh
from tests.rewards.tiny_clip import save_clip

PROMPTS = ["the cat", "a dog"]


def images(seed: int = 0) -> Tensor:
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip-vit-small.1")
    save_clip(folder)
    return folder


class Brightness:
    name = "brightness"
    weights = (Weights("somewhere", "ab" * 32),)

    def score(self, images: Tensor, prompts: Sequence[str]) -> np.ndarray:
        return images.mean(dim=(1, 2, 3)).double().numpy()


class Distance:
    """Lower is better, as of LPIPS."""

    name = "distance"
    higher_is_better = False
    weights = (Weights("elsewhere", "cd" * 32),)

    def score_pairs(self, images: Tensor, references: Tensor, prompts: Sequence[str]) -> np.ndarray:
        return (images - references).abs().mean(dim=(1, 2, 3)).double().numpy()


class Named:
    name = "named"

    def __init__(self, text: str) -> None:
        self.text = text

    def score(self, images: Tensor, prompts: Sequence[str]) -> np.ndarray:
        return np.full(len(images), float(len(self.text)))


class Broken:
    name = "broken"

    def score(self, images: Tensor, prompts: Sequence[str]) -> np.ndarray:
        return np.array([0.0, np.nan])


@pytest.fixture
def mine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The classes above as a module that can be named."""
    monkeypatch.setitem(sys.modules, "mine", sys.modules[__name__])


def test_all_built_in_rewards_are_named() -> None:
    assert reward_names()[:16] == (
        "shapes",
        "shapes-caption",
        "shapes-fidelity",
        "shapes-margin",
        "flow-shapes-caption",
        "flow-shapes-fidelity",
        "flow-shapes-margin",
        "fidelity",
        "image-reward",
        "image-reward-package",
        "clip",
        "hps",
        "pickscore",
        "psnr",
        "ssim",
        "lpips",
    )


def test_rewards_of_models_take_a_checkpoint_after_the_sign(checkpoint: Path) -> None:
    for name in ("clip", "hps", "pickscore"):
        reward = load_reward(f"{name}={checkpoint}", device="cpu", dtype="bfloat16")
        assert isinstance(reward, Reward)
        assert reward.name == name
        assert weights_of(reward)[0].source == str(checkpoint)
        assert np.isfinite(reward.score(images(), PROMPTS)).all()
    single = load_reward(f"clip={checkpoint}", device="cpu", dtype=torch.float32)
    half = load_reward(f"clip={checkpoint}", device="cpu", dtype="bfloat16")
    assert isinstance(single, Reward)
    assert isinstance(half, Reward)
    assert (single.score(images(), PROMPTS) != half.score(images(), PROMPTS)).any()


def test_the_checkpoint_of_image_reward_is_that_after_the_sign(tmp_path: Path) -> None:
    with pytest.raises(RewardError, match=r"ImageReward\.pt|ImageReward\.safetensors"):
        load_reward(f"image-reward={tmp_path}", device="cpu")
    with pytest.raises(RewardError, match="no-such-python"):
        load_reward(f"image-reward-package={tmp_path}/no-such-python")


def test_metrics_of_pixels_are_rewards() -> None:
    for name, of_equal in (("psnr", 100.0), ("ssim", 1.0)):
        reward = load_reward(name)
        assert isinstance(reward, PairedReward)
        assert reward.score_pairs(images(), images(), PROMPTS) == pytest.approx([of_equal] * 2, abs=1e-6)


@pytest.mark.parametrize("name", ["shapes", "shapes-caption", "fidelity", "psnr", "ssim"])
def test_rewards_without_a_checkpoint_refuse_one(name: str) -> None:
    with pytest.raises(RewardError, match=f"'{name}' takes no checkpoint, but 'x' was named"):
        load_reward(f"{name}=x")


def test_nothing_after_the_sign_is_refused() -> None:
    with pytest.raises(RewardError, match="Nothing stands after the ="):
        load_reward("clip=")


def test_fid_is_no_reward() -> None:
    for name in ("fid", "fid=/weights.pth", "0.5*fid+0.5*psnr"):
        with pytest.raises(RewardError, match="two sets of images and gives no score per image"):
            load_reward(name)


def test_an_unknown_type_is_refused(checkpoint: Path) -> None:
    with pytest.raises(RewardError, match="'float8' is unknown; choose one of float32, float16, bfloat16"):
        load_reward(f"clip={checkpoint}", dtype="float8")


@pytest.mark.usefixtures("mine")
def test_ones_own_reward_takes_the_text_after_the_sign() -> None:
    reward = load_reward("mine:Named=/models/a-b.pt")
    assert isinstance(reward, Named)
    assert reward.text == "/models/a-b.pt"
    with pytest.raises(RewardError, match="called without arguments"):
        load_reward("mine:Named")
    with pytest.raises(RewardError, match="with the text after the ="):
        load_reward("mine:Brightness=text")


@pytest.mark.usefixtures("mine")
def test_a_sum_weighs_its_terms_and_counts_distances_negatively() -> None:
    reward = load_reward("0.75*mine:Brightness + 2*mine:Distance")
    assert isinstance(reward, PairedReward)
    assert not isinstance(reward, Reward)
    assert higher_is_better(reward)
    assert reward.name == "0.75*mine:Brightness+-2*mine:Distance"
    expected = 0.75 * Brightness().score(images(), PROMPTS) - 2 * Distance().score_pairs(images(), images(1), PROMPTS)
    assert reward.score_pairs(images(), images(1), PROMPTS) == pytest.approx(expected)
    assert [weights.source for weights in weights_of(reward)] == ["somewhere", "elsewhere"]


@pytest.mark.usefixtures("mine")
def test_a_sum_of_rewards_that_need_no_references_needs_none() -> None:
    reward = load_reward("mine:Brightness+0.5*mine:Named=four")
    assert isinstance(reward, Reward)
    assert not isinstance(reward, PairedReward)
    assert reward.name == "mine:Brightness+0.5*mine:Named=four"
    assert reward.score(images(), PROMPTS) == pytest.approx(Brightness().score(images(), PROMPTS) + 2)


def test_a_sum_of_built_in_rewards_takes_checkpoints(checkpoint: Path) -> None:
    reward = load_reward(f"0.8*fidelity+0.2*clip={checkpoint}", device="cpu")
    assert isinstance(reward, PairedReward)
    assert reward.name == f"0.8*fidelity+0.2*clip={checkpoint}"
    fidelity, clip = load_reward("fidelity"), load_reward(f"clip={checkpoint}", device="cpu")
    assert isinstance(fidelity, PairedReward)
    assert isinstance(clip, Reward)
    expected = 0.8 * fidelity.score_pairs(images(), images(1), PROMPTS) + 0.2 * clip.score(images(), PROMPTS)
    assert reward.score_pairs(images(), images(1), PROMPTS) == pytest.approx(expected)
    assert weights_of(reward) == weights_of(clip)


@pytest.mark.usefixtures("mine")
def test_a_distance_is_itself_by_name_and_negated_with_a_sign() -> None:
    bare, negated = load_reward("mine:Distance"), load_reward("-mine:Distance")
    assert isinstance(bare, Distance)
    assert isinstance(negated, PairedReward)
    assert negated.name == "-mine:Distance"
    distances = bare.score_pairs(images(), images(1), PROMPTS)
    assert (negated.score_pairs(images(), images(1), PROMPTS) == -distances).all()
    turned = maximized(bare)
    assert isinstance(turned, PairedReward)
    assert turned.name == "-distance"
    assert (turned.score_pairs(images(), images(1), PROMPTS) == -distances).all()
    assert maximized(negated) is negated


@pytest.mark.usefixtures("mine")
def test_the_name_of_a_sum_loads_the_same_sum() -> None:
    once = load_reward("1.0*mine:Brightness+ 0.30 * mine:Distance+-1e-3*mine:Distance")
    assert once.name == "mine:Brightness+-0.3*mine:Distance+-0.001*mine:Distance"
    again = load_reward(once.name)
    assert again.name == once.name
    assert isinstance(once, PairedReward)
    assert isinstance(again, PairedReward)
    assert (once.score_pairs(images(), images(1), PROMPTS) == again.score_pairs(images(), images(1), PROMPTS)).all()


def test_a_sign_before_what_should_grow_is_refused() -> None:
    with pytest.raises(RewardError, match="'psnr' stands with a minus sign, but more of it is better"):
        load_reward("fidelity+-0.5*psnr")


def test_a_term_that_gives_no_number_is_named() -> None:
    reward = weigh([(Term("brightness"), Brightness()), (Term("broken"), Broken())])
    assert isinstance(reward, Reward)
    with pytest.raises(RewardError, match="'broken' gave nan for image 1 of 2"):
        reward.score(images(), PROMPTS)


@pytest.mark.parametrize(
    ("expression", "terms"),
    [
        ("image-reward", [Term("image-reward")]),
        (
            "0.8*image-reward+0.2*clip=openai/clip-vit-base-patch32",
            [Term("image-reward", 0.8), Term("clip=openai/clip-vit-base-patch32", 0.2)],
        ),
        (" .5 * hps=/m/v2.1_-x.pt + lpips=vgg", [Term("hps=/m/v2.1_-x.pt", 0.5), Term("lpips=vgg")]),
        ("-lpips", [Term("lpips", minus=True)]),
        ("clip=/my models/a=b", [Term("clip=/my models/a=b")]),
        ("1e-3*a:B", [Term("a:B", 0.001)]),
    ],
)
def test_sums_are_read_as_they_are_written(expression: str, terms: list[Term]) -> None:
    assert parse_sum(expression) == terms


NAMES = ["clip", "image-reward", "clip=a/b-c.d", "my:Own=x=y-1", "a-b"]


@given(
    st.lists(
        st.builds(Term, st.sampled_from(NAMES), st.floats(0, exclude_min=True, allow_infinity=False), st.booleans()),
        min_size=1,
        max_size=4,
    )
)
def test_written_terms_are_read_as_the_same(terms: list[Term]) -> None:
    assert parse_sum("+".join(map(str, terms))) == terms


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("", "The term ''"),
        ("clip+", "The term ''"),
        ("0.5*", r"The term '0\.5\*'"),
        ("a*clip", r"The term 'a\*clip'"),
        ("--lpips", "The term '--lpips'"),
        ("0*clip", "weight '0' of 'clip'"),
        ("1e999*clip", "weight '1e999'"),
        ("1-2*clip", "weight '1-2'"),
        ("clip=/models/a+b", r"no reward 'b'.*path cannot hold one|cannot be read"),
    ],
)
def test_sums_that_cannot_be_read_are_refused(expression: str, message: str) -> None:
    with pytest.raises(RewardError, match=message):
        load_reward(expression)


def distribution(folder: Path, name: str, entries: str) -> None:
    """Lay out an installed package as pip does."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[ecad_automl.rewards]\n{entries}")


def run_with(folder: Path, script: str) -> str:
    """What a script prints in a process that finds the folder's packages."""
    (folder / "aesthetics.py").write_text(
        textwrap.dedent("""
            import numpy as np

            class Score:
                name = "aesthetics"
                def __init__(self, source="built in"):
                    self.source = source
                def score(self, images, prompts):
                    return np.zeros(len(prompts))

            def nothing():
                return object()
        """)
    )
    command = [sys.executable, "-c", textwrap.dedent(script)]
    root = Path(__file__).parents[2]
    environment = {"PYTHONPATH": f"{folder}:{root}", "PATH": "/usr/bin:/bin"}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout + result.stderr


def test_installed_packages_bring_rewards(tmp_path: Path) -> None:
    distribution(tmp_path, "aesthetics", "aesthetics = aesthetics:Score\nnothing = aesthetics:nothing\n")
    printed = run_with(
        tmp_path,
        """
        import sys
        from ecad_automl.errors import RewardError
        from ecad_automl.rewards import load_reward, reward_names
        print(reward_names()[-2:])
        print(load_reward("aesthetics").source, load_reward("aesthetics=v2.5").source)
        print(load_reward("0.5*aesthetics+2*aesthetics=x").name)
        for name in ("nothing", "unknown"):
            try:
                load_reward(name)
            except RewardError as error:
                print(error)
        print("torch" in sys.modules)
        """,
    )
    lines = printed.splitlines()
    assert lines[0] == "('aesthetics', 'nothing')"
    assert lines[1] == "built in v2.5"
    assert lines[2] == "0.5*aesthetics+2*aesthetics=x"
    assert lines[3].startswith("The reward 'nothing' is a object without a name")
    assert "no reward 'unknown'" in lines[4]
    assert "lpips, aesthetics, nothing" in lines[4]
    assert lines[5] == "False"


def test_installed_packages_cannot_take_built_in_names_or_each_others(tmp_path: Path) -> None:
    distribution(tmp_path, "aesthetics", "fidelity = aesthetics:Score\nbeauty = aesthetics:Score\n")
    distribution(tmp_path, "rival", "beauty = rival:Score\n")
    printed = run_with(
        tmp_path,
        """
        import warnings
        from ecad_automl.errors import RewardError
        from ecad_automl.rewards import load_reward, reward_names
        print(reward_names().count("fidelity"), reward_names().count("beauty"))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            print(type(load_reward("fidelity")).__name__)
        print([str(w.message) for w in caught if "built in" in str(w.message)])
        try:
            load_reward("beauty")
        except RewardError as error:
            print(error)
        """,
    )
    lines = printed.splitlines()
    assert lines[0] == "1 1"
    assert lines[1] == "FidelityReward"
    assert "that of aesthetics is not used; name it as module:attribute (aesthetics:Score)" in lines[2]
    assert "'beauty' is brought by 2 installed packages (aesthetics, rival)" in lines[3]


def test_naming_rewards_brings_no_torch_along() -> None:
    script = "import sys, ecad_automl.rewards as r; r.reward_names(); print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
