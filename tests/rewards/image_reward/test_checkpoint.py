from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import save_file
from torch import Tensor

from ecad_automl.errors import FileError, HubError, RewardError
from ecad_automl.rewards import load_reward
from ecad_automl.rewards.image_reward import ImageReward
from tests.rewards.image_reward.small import QUICK, Sizes, med_config, published_state, write_folder, write_words

PICTURE = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def load(tmp_path: Path, words: Path, state: object, **config: Any) -> ImageReward:
    torch.save(state, tmp_path / "ImageReward.pt")
    (tmp_path / "med_config.json").write_text(json.dumps(med_config(QUICK) | config))
    return ImageReward.from_pretrained(tmp_path, tokenizer=words, device="cpu")


@pytest.mark.parametrize(
    "name",
    [
        "blip.visual_encoder.cls_token",
        "blip.visual_encoder.pos_embed",
        "blip.visual_encoder.patch_embed.proj.weight",
        "blip.visual_encoder.blocks.0.mlp.fc1.weight",
        "blip.visual_encoder.blocks.1.attn.qkv.bias",
        "blip.visual_encoder.norm.weight",
        "blip.text_encoder.encoder.layer.1.crossattention.self.key.weight",
        "blip.text_encoder.embeddings.LayerNorm.bias",
        "mlp.layers.4.weight",
        "mlp.layers.7.bias",
    ],
)
def test_a_missing_tensor_is_named(tmp_path: Path, words: Path, name: str) -> None:
    state = published_state(QUICK)
    del state[name]
    with pytest.raises(RewardError, match=f"ImageReward.pt lacks {name};"):
        load(tmp_path, words, state)


def test_a_tensor_that_the_network_does_not_know_is_named(tmp_path: Path, words: Path) -> None:
    state = published_state(QUICK) | {"blip.itm_head.weight": torch.zeros(2, 32)}
    with pytest.raises(RewardError, match="has blip.itm_head.weight, which the network does not know"):
        load(tmp_path, words, state)


def test_a_renamed_tensor_is_named_as_missing_and_unknown(tmp_path: Path, words: Path) -> None:
    state = published_state(QUICK)
    state["mlp.layers.9.bias"] = state.pop("mlp.layers.7.bias")
    with pytest.raises(RewardError, match="lacks mlp.layers.7.bias and has mlp.layers.9.bias"):
        load(tmp_path, words, state)


def test_of_many_missing_tensors_some_are_named_and_all_are_counted(tmp_path: Path, words: Path) -> None:
    with pytest.raises(RewardError, match="layer.2.attention.* and 21 more;"):
        load(tmp_path, words, published_state(QUICK), num_hidden_layers=3)


def test_what_no_score_depends_on_may_be_absent(tmp_path: Path, words: Path, reward: ImageReward) -> None:
    state = published_state(QUICK)
    for name in (*(f"blip.{side}_proj.{kind}" for side in ("vision", "text") for kind in ("weight", "bias")),):
        del state[name]
    del state["blip.text_encoder.embeddings.position_ids"]
    scores = load(tmp_path, words, state).score(PICTURE, ["a cat"])
    assert scores == pytest.approx(reward.score(PICTURE, ["a cat"]), abs=1e-5)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"hidden_size": 64}, r"blip.text_encoder.embeddings.\S+ of the shape .* is expected"),
        ({"intermediate_size": 60}, r"intermediate.dense.\w+ of the shape \(64.*\(60"),
        ({"max_position_embeddings": 50}, r"position_embeddings.weight of the shape \(40, 32\), but \(50, 32\)"),
        ({"add_cross_attention": False}, "add_cross_attention: Input should be True"),
        ({"hidden_act": "relu"}, "hidden_act: Input should be 'gelu'"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type: Input should be 'absolute'"),
        ({"max_position_embeddings": 20}, "max_position_embeddings: Input should be greater than or equal to 35"),
        ({"num_attention_heads": 5}, "hidden_size of 32, which is no multiple of its num_attention_heads, 5"),
        ({"num_hidden_layers": "many"}, "num_hidden_layers: Input should be a valid integer"),
        ({"vocab_size": 30524}, "has 124 tokens with .* but the checkpoint knows 30524"),
    ],
)
def test_a_configuration_of_another_model_is_refused(
    tmp_path: Path, words: Path, config: dict[str, Any], message: str
) -> None:
    with pytest.raises(RewardError, match=message):
        load(tmp_path, words, published_state(QUICK), **config)


def test_a_configuration_without_a_size_or_that_is_no_json_is_refused(tmp_path: Path, words: Path) -> None:
    write_folder(tmp_path, QUICK)
    config = med_config(QUICK)
    del config["hidden_size"]
    (tmp_path / "med_config.json").write_text(json.dumps(config))
    with pytest.raises(RewardError, match="hidden_size: Field required"):
        ImageReward.from_pretrained(tmp_path, tokenizer=words)
    (tmp_path / "med_config.json").write_text("{")
    with pytest.raises(FileError, match="text encoder .*is damaged: it is not JSON"):
        ImageReward.from_pretrained(tmp_path, tokenizer=words)
    with pytest.raises(FileError, match="no configuration of ImageReward's text encoder at .*nowhere.json"):
        ImageReward.from_checkpoint(tmp_path / "ImageReward.pt", tmp_path / "nowhere.json", words)


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("blip.visual_encoder.pos_embed", torch.zeros(1, 4, 64), "has 4 positions"),
        ("blip.visual_encoder.pos_embed", torch.zeros(1, 5, 65), "image encoder of 65 channels"),
        ("blip.visual_encoder.pos_embed", torch.zeros(5, 64), r"shape \(5, 64\), but 3 dimensions"),
        ("blip.visual_encoder.norm.bias", torch.zeros(63), r"norm.bias of the shape \(63,\), but \(64,\)"),
        ("mlp.layers.7.weight", torch.zeros(2, 4), r"mlp.layers.7.weight of the shape \(2, 4\), but \(1, 4\)"),
    ],
)
def test_a_tensor_of_a_wrong_shape_is_named(
    tmp_path: Path, words: Path, name: str, tensor: Tensor, message: str
) -> None:
    with pytest.raises(RewardError, match=message):
        load(tmp_path, words, published_state(QUICK) | {name: tensor})


class _Harmful:
    """Pickled, it would write a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_a_checkpoint_cannot_run_code(tmp_path: Path, words: Path) -> None:
    touched = tmp_path / "touched"
    with pytest.raises(FileError, match="cannot be read"):
        load(tmp_path, words, {"mlp": _Harmful(touched)})
    assert not touched.exists()


def test_a_file_that_holds_no_named_tensors_is_refused(tmp_path: Path, words: Path) -> None:
    for state in ([torch.zeros(1)], {"epoch": 3}, torch.zeros(2)):
        with pytest.raises(FileError, match="holds no state dict"):
            load(tmp_path, words, state)


def test_a_damaged_or_absent_checkpoint_is_refused(tmp_path: Path, words: Path) -> None:
    write_folder(tmp_path, QUICK)
    whole = (tmp_path / "ImageReward.pt").read_bytes()
    for data in (b"", b"no checkpoint", whole[: len(whole) // 2]):
        for file in ("ImageReward.pt", "damaged.safetensors"):
            (tmp_path / file).write_bytes(data)
            with pytest.raises(FileError, match=f"{file}' cannot be read"):
                ImageReward.from_checkpoint(tmp_path / file, tmp_path / "med_config.json", words)
    for file in ("nowhere.pt", "nowhere.safetensors"):
        with pytest.raises(FileError, match=f"{file}' cannot be read"):
            ImageReward.from_checkpoint(tmp_path / file, tmp_path / "med_config.json", words)


def test_safetensors_are_preferred_and_score_the_same(
    tmp_path: Path, words: Path, reward: ImageReward, folder: Path
) -> None:
    save_file(published_state(QUICK), tmp_path / "ImageReward.safetensors")
    (tmp_path / "ImageReward.pt").write_text("not read")
    (tmp_path / "med_config.json").write_text((folder / "med_config.json").read_text())
    safe = ImageReward.from_pretrained(tmp_path, tokenizer=words, device="cpu")
    assert safe.score(PICTURE, ["a cat"]) == pytest.approx(reward.score(PICTURE, ["a cat"]), abs=1e-5)
    assert safe.weights[0].digest == reward.weights[0].digest


def test_a_checkpoint_in_half_precision_is_read(tmp_path: Path, words: Path, reward: ImageReward) -> None:
    state = {
        name: value.half() if value.is_floating_point() else value for name, value in published_state(QUICK).items()
    }
    half = load(tmp_path, words, state)
    full = reward.score(PICTURE, ["a cat"])
    assert half.score(PICTURE, ["a cat"]) == pytest.approx(full, abs=0.05)
    assert half.weights[0].digest != reward.weights[0].digest


def test_an_incomplete_folder_is_refused_with_the_file_that_it_lacks(tmp_path: Path, words: Path) -> None:
    with pytest.raises(RewardError, match="has no ImageReward.pt"):
        ImageReward.from_pretrained(tmp_path, tokenizer=words)
    write_folder(tmp_path, QUICK)
    (tmp_path / "med_config.json").unlink()
    with pytest.raises(RewardError, match="has no med_config.json"):
        ImageReward.from_pretrained(tmp_path, tokenizer=words)


def test_a_folder_has_no_revision_and_a_wrong_path_is_no_hub_id(folder: Path, words: Path) -> None:
    with pytest.raises(RewardError, match="no revision 'main'"):
        ImageReward.from_pretrained(folder, revision="main", tokenizer=words)
    for name in ("./nowhere", "/no/where", "ImageReward"):
        with pytest.raises(RewardError, match="neither a folder with ImageReward.pt"):
            ImageReward.from_pretrained(name, tokenizer=words)


def test_a_tokenizer_that_is_not_there_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RewardError, match="The tokenizer '.*nothing' cannot be loaded"):
        ImageReward.from_pretrained(folder, tokenizer=tmp_path / "nothing")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache, empty; the hub itself is out of reach."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def test_without_the_hub_the_error_says_what_to_do(cache: Path, folder: Path, words: Path) -> None:
    with pytest.raises(HubError, match="ImageReward.pt of 'zai-org/ImageReward' .*main.*name that file or its folder"):
        ImageReward.from_pretrained(tokenizer=words)
    with pytest.raises(RewardError, match="The tokenizer 'bert-base-uncased' cannot be loaded .*BERT's vocab.txt"):
        ImageReward.from_pretrained(folder)


def test_a_folder_with_a_vocabulary_needs_no_hub(cache: Path, reward: ImageReward) -> None:
    whole = load_reward(f"image-reward={write_words(write_folder(cache / 'whole', QUICK))}", device="cpu")
    assert isinstance(whole, ImageReward)
    assert whole.score(PICTURE, ["a cat"]) == pytest.approx(reward.score(PICTURE, ["a cat"]), abs=1e-5)


def test_the_cache_of_the_hub_serves_without_the_hub(cache: Path, words: Path, reward: ImageReward) -> None:
    repository = cache / "models--zai-org--ImageReward"
    commit = "0123456789" * 4
    write_folder(repository / "snapshots" / commit, QUICK)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    latest = ImageReward.from_pretrained(tokenizer=words, device="cpu")
    pinned = ImageReward.from_pretrained("zai-org/ImageReward", revision=commit, tokenizer=words, device="cpu")
    assert latest.weights[0].source == "zai-org/ImageReward"
    assert pinned.weights[0].source == f"zai-org/ImageReward@{commit}"
    for model in (latest, pinned):
        assert model.score(PICTURE, ["a cat"]) == pytest.approx(reward.score(PICTURE, ["a cat"]), abs=1e-5)


@pytest.mark.parametrize(
    "sizes", [Sizes(image_size=48, width=192, depth=1), Sizes(image_size=32, text_depth=1, depth=4)]
)
def test_sizes_are_those_of_checkpoint_and_configuration(tmp_path: Path, words: Path, sizes: Sizes) -> None:
    vision = ImageReward.from_pretrained(write_folder(tmp_path, sizes), tokenizer=words, device="cpu")._network.vision
    assert vision.config.num_attention_heads == sizes.width // 64
    assert vision.config.image_size == sizes.image_size
    assert len(vision.encoder.layers) == sizes.depth
