from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPImageProcessorPil, CLIPModel, CLIPProcessor

from ecad_automl.errors import FileError, PromptError, RewardError
from ecad_automl.rewards import Reward, hash_state, weights_of
from ecad_automl.rewards.clip import CLIPScore, HPSv2, PickScore
from ecad_automl.rewards.preprocessing import fit_longest, to_pil
from tests.rewards.tiny_clip import open_clip_state, save_clip, tiny_tokenizer

PROMPTS = ["the cat on the mat", "a dog, 3 years old.", "the sea"]


def pictures(count: int = 3, height: int = 40, width: int = 56, seed: int = 0) -> Tensor:
    """Smooth noise of 8 bits: the same as a tensor and as a PNG file."""
    coarse = torch.rand(count, 3, 6, 6, generator=torch.Generator().manual_seed(seed))
    smooth = functional.interpolate(coarse, (height, width), mode="bilinear")
    return (smooth * 255).round() / 255


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    save_clip(folder)
    return folder


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("hps") / "HPS_v2.1_compressed.pt"
    torch.save({"epoch": 3, "state_dict": open_clip_state()}, file)
    return file


class _Tensors(nn.Module):
    """Gives embeddings as plain tensors, as torchmetrics expects them of CLIP."""

    def __init__(self, model: CLIPModel) -> None:
        super().__init__()
        self.model = model
        self.config = model.config

    def get_image_features(self, values: Tensor) -> Tensor:
        features: Tensor = self.model.get_image_features(values).pooler_output
        return features

    def get_text_features(self, ids: Tensor, mask: Tensor) -> Tensor:
        features: Tensor = self.model.get_text_features(ids, mask).pooler_output
        return features


@torch.no_grad()
def torchmetrics_score(folder: Path, image: Tensor, prompt: str) -> float:
    """Of one image in [0, 1]."""
    from torchmetrics.functional.multimodal import clip_score

    def load() -> tuple[Any, Any]:
        processor = CLIPProcessor(CLIPImageProcessorPil.from_pretrained(folder), tiny_tokenizer())
        return _Tensors(CLIPModel.from_pretrained(folder)), processor

    return float(clip_score((image * 255).round().byte(), prompt, model_name_or_path=load))


@torch.no_grad()
def cosines(model: CLIPModel, processor: Any, images: Sequence[Image.Image], prompts: Sequence[str]) -> np.ndarray:
    """As transformers' documentation computes them, image by image."""
    found = []
    for image, prompt in zip(images, prompts, strict=True):
        values = processor(images=image, return_tensors="pt")
        tokens = processor(text=[prompt], return_tensors="pt", truncation=True, max_length=77)
        output = model(**values, **tokens)
        found.append(functional.cosine_similarity(output.image_embeds, output.text_embeds).item())
    return np.array(found)


def test_clip_scores_are_those_of_torchmetrics(checkpoint: Path) -> None:
    images = pictures()
    scores = CLIPScore.from_pretrained(str(checkpoint), device="cpu").score(images, PROMPTS)
    expected = [torchmetrics_score(checkpoint, image, prompt) for image, prompt in zip(images, PROMPTS, strict=True)]
    assert scores.dtype == np.float64
    assert max(expected) > 1
    assert scores == pytest.approx(expected, abs=1e-4)


def test_clip_scores_of_opposed_embeddings_are_zero(tmp_path: Path) -> None:
    model = save_clip(tmp_path)
    positive = CLIPScore.from_pretrained(str(tmp_path), device="cpu").score(pictures(), PROMPTS)
    model.visual_projection.weight.data.neg_()
    model.save_pretrained(tmp_path)
    negative = CLIPScore.from_pretrained(str(tmp_path), device="cpu").score(pictures(), PROMPTS)
    assert (np.minimum(positive, negative) == 0).all()
    assert ((positive > 0) | (negative > 0)).all()


def test_pickscore_is_the_scaled_cosine_of_its_authors(tmp_path: Path) -> None:
    model = save_clip(tmp_path, act="gelu")
    model.logit_scale.data.fill_(3.0)
    model.save_pretrained(tmp_path)
    processor = CLIPProcessor(CLIPImageProcessorPil.from_pretrained(tmp_path), tiny_tokenizer())
    expected = np.exp(3.0) * cosines(model, processor, to_pil(pictures()), PROMPTS)
    scores = PickScore.from_pretrained(str(tmp_path), device="cpu").score(pictures(), PROMPTS)
    assert scores == pytest.approx(expected, abs=1e-5)


def test_hps_of_a_transformers_checkpoint_is_the_cosine(tmp_path: Path) -> None:
    model = save_clip(tmp_path, act="gelu")
    processor = CLIPProcessor(CLIPImageProcessorPil.from_pretrained(tmp_path), tiny_tokenizer())
    expected = cosines(model, processor, to_pil(pictures()), PROMPTS)
    assert HPSv2.from_pretrained(str(tmp_path), device="cpu").score(pictures(), PROMPTS) == pytest.approx(
        expected, abs=1e-6
    )


def test_preference_models_take_tokenizer_and_preprocessing_from_elsewhere_if_told(
    tmp_path: Path, checkpoint: Path
) -> None:
    save_clip(tmp_path, processor=False)
    for kind in (PickScore, HPSv2):
        whole = kind.from_pretrained(str(checkpoint), device="cpu")
        bare = kind.from_pretrained(str(tmp_path), processor=str(checkpoint), device="cpu")
        assert (bare.score(pictures(), PROMPTS) == whole.score(pictures(), PROMPTS)).all()


def test_tensors_score_as_the_png_files_of_the_same_images(checkpoint: Path, tmp_path: Path) -> None:
    reward = CLIPScore.from_pretrained(str(checkpoint), device="cpu")
    for number, image in enumerate(to_pil(pictures())):
        image.save(tmp_path / f"{number}.png")
    read = [Image.open(tmp_path / f"{number}.png") for number in range(3)]
    assert (reward.score(pictures(), PROMPTS) == reward.score(read, PROMPTS)).all()
    assert (np.array(read[0]) == np.array(to_pil(pictures())[0])).all()


def test_pictures_of_several_sizes_and_modes_are_scored_together(checkpoint: Path) -> None:
    reward = CLIPScore.from_pretrained(str(checkpoint), device="cpu")
    images = [
        *to_pil(pictures(1, 33, 70)),
        to_pil(pictures(1, 90, 64))[0].convert("L"),
        to_pil(pictures(1))[0].convert("RGBA"),
    ]
    alone = [reward.score([image], [prompt])[0] for image, prompt in zip(images, PROMPTS, strict=True)]
    assert reward.score(images, PROMPTS) == pytest.approx(alone, abs=1e-4)


def test_scores_do_not_depend_on_the_batch(checkpoint: Path) -> None:
    reward = CLIPScore.from_pretrained(str(checkpoint), device="cpu")
    images = pictures(7)
    prompts = [PROMPTS[number % 3] for number in range(7)]
    whole = reward.score(images, prompts)
    reward._encoder.batch_size = 2
    assert reward.score(images, prompts) == pytest.approx(whole, abs=1e-4)
    assert reward.score(images[:0], []).shape == (0,)


def test_of_a_long_prompt_the_first_77_tokens_count(checkpoint: Path) -> None:
    reward = CLIPScore.from_pretrained(str(checkpoint), device="cpu")
    begun = " ".join(["the"] * 75)
    images = pictures(1)
    whole = reward.score(images, [begun])
    assert (reward.score(images, [f"{begun} cat and dog"]) == whole).all()
    assert (reward.score(images, [begun.removesuffix("the") + "cat"]) != whole).all()


def test_half_precision_is_close_to_single(checkpoint: Path) -> None:
    single = CLIPScore.from_pretrained(str(checkpoint), device="cpu").score(pictures(), PROMPTS)
    half = CLIPScore.from_pretrained(str(checkpoint), device="cpu", dtype=torch.bfloat16).score(pictures(), PROMPTS)
    assert half == pytest.approx(single, abs=2)
    assert (half != single).any()


def test_weights_are_named_with_the_digest_of_what_is_stored(checkpoint: Path, tmp_path: Path) -> None:
    one = CLIPScore.from_pretrained(str(checkpoint), device="cpu")
    (weights,) = weights_of(one)
    assert weights.source == str(checkpoint)
    assert weights.digest == hash_state(CLIPModel.from_pretrained(checkpoint).state_dict())
    half = CLIPScore.from_pretrained(str(checkpoint), device="cpu", dtype=torch.float16)
    assert weights_of(half) == weights_of(one)
    save_clip(tmp_path, seed=1)
    assert CLIPScore.from_pretrained(str(tmp_path), device="cpu").weights[0].digest != weights.digest


def test_a_checkpoint_with_missing_or_unexpected_weights_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    save_clip(tmp_path)
    file = tmp_path / "model.safetensors"
    whole = load_file(file)

    def rewritten(change: Callable[[dict[str, Tensor]], object]) -> str:
        state = dict(whole)
        change(state)
        save_file(state, file, {"format": "pt"})
        return str(tmp_path)

    with pytest.raises(RewardError, match="lacks weights: logit_scale"):
        CLIPScore.from_pretrained(rewritten(lambda state: state.pop("logit_scale")))
    with pytest.raises(RewardError, match="unexpected or ill-shaped weights: head.weight"):
        CLIPScore.from_pretrained(rewritten(lambda state: state.update({"head.weight": torch.zeros(1)})))
    # Earlier versions of transformers stored these; they are no weights.
    ids = {"text_model.embeddings.position_ids": torch.arange(77)[None]}
    CLIPScore.from_pretrained(rewritten(lambda state: state.update(ids)))


def test_a_checkpoint_that_is_none_is_refused(tmp_path: Path, checkpoint: Path) -> None:
    from transformers import BertConfig

    with pytest.raises(RewardError, match="nowhere.*cannot be read"):
        CLIPScore.from_pretrained(str(tmp_path / "nowhere"))
    BertConfig().save_pretrained(tmp_path)
    with pytest.raises(RewardError, match="is of a 'bert' model; a CLIP model is expected"):
        CLIPScore.from_pretrained(str(tmp_path))


def test_a_tokenizer_or_preprocessing_that_is_missing_or_another_models_is_refused(
    tmp_path: Path, checkpoint: Path
) -> None:
    model = save_clip(tmp_path, processor=False)
    with pytest.raises(RewardError, match="image processor|vocabulary of 80 tokens"):
        CLIPScore.from_pretrained(str(tmp_path))
    with pytest.raises(RewardError, match="image processor|vocabulary of 80 tokens"):
        HPSv2.from_pretrained(str(checkpoint), processor=str(tmp_path))
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens(["mat"])
    images = CLIPImageProcessorPil.from_pretrained(checkpoint)
    CLIPProcessor(images, tokenizer).save_pretrained(tmp_path)
    assert model.config.text_config.vocab_size == 80
    with pytest.raises(RewardError, match="vocabulary of 80 tokens and its tokenizer .* one of 81"):
        CLIPScore.from_pretrained(str(tmp_path))


def test_images_of_a_wrong_shape_type_or_number_are_refused(checkpoint: Path) -> None:
    reward = CLIPScore.from_pretrained(str(checkpoint), device="cpu")
    with pytest.raises(PromptError, match="3 images and 2 prompts"):
        reward.score(pictures(), PROMPTS[:2])
    with pytest.raises(RewardError, match=r"shape \(3, 40, 56\)"):
        reward.score(pictures()[0], PROMPTS)
    with pytest.raises(RewardError, match=r"torch\.uint8"):
        reward.score(pictures().byte(), PROMPTS)


def test_all_three_are_rewards(checkpoint: Path) -> None:
    for kind, name in ((CLIPScore, "clip"), (PickScore, "pickscore"), (HPSv2, "hps")):
        reward = kind.from_pretrained(str(checkpoint), device="cpu")
        assert isinstance(reward, Reward)
        assert reward.name == name


class _OpenClipTower(nn.Module):
    """A transformer of open_clip's layout out of torch's own layers, independent of the product's mapping."""

    def __init__(self, state: dict[str, Tensor], prefix: str, heads: int, mask: Tensor | None) -> None:
        super().__init__()
        width = state[f"{prefix}resblocks.0.ln_1.weight"].shape[0]
        inner = state[f"{prefix}resblocks.0.mlp.c_fc.weight"].shape[0]
        self.mask = mask
        self.layers = nn.ModuleList()
        for number in range(2):
            layer = nn.TransformerEncoderLayer(
                width, heads, inner, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
            )
            names = {"attn": "self_attn", "mlp.c_fc": "linear1", "mlp.c_proj": "linear2", "ln_1": "norm1"}
            names["ln_2"] = "norm2"
            block = f"{prefix}resblocks.{number}."
            own = {}
            for key, value in state.items():
                if key.startswith(block):
                    rest = key.removeprefix(block)
                    there = next(name for name in names if rest.startswith(name))
                    own[names[there] + rest.removeprefix(there)] = value
            layer.load_state_dict(own)
            self.layers.append(layer)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x, src_mask=self.mask)
        return x


@torch.no_grad()
def open_clip_cosines(state: dict[str, Tensor], values: Tensor, tokens: Tensor) -> Tensor:
    """The network of open_clip, from torch's layers."""

    def norm(name: str, x: Tensor) -> Tensor:
        return functional.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"])

    patches = functional.conv2d(values, state["visual.conv1.weight"], stride=8).flatten(2).transpose(1, 2)
    begin = state["visual.class_embedding"].expand(len(values), 1, -1)
    x = norm("visual.ln_pre", torch.cat([begin, patches], dim=1) + state["visual.positional_embedding"])
    tower = _OpenClipTower(state, "visual.transformer.", 2, None).eval()
    image = norm("visual.ln_post", tower(x)[:, 0]) @ state["visual.proj"]
    length = tokens.shape[1]
    mask = torch.full((length, length), float("-inf")).triu(1)
    x = state["token_embedding.weight"][tokens] + state["positional_embedding"][:length]
    x = norm("ln_final", _OpenClipTower(state, "transformer.", 2, mask).eval()(x))
    text = x[torch.arange(len(x)), tokens.argmax(dim=1)] @ state["text_projection"]
    return functional.cosine_similarity(image, text)


def test_the_published_file_of_hps_is_read_by_the_names_of_its_weights(published: Path, checkpoint: Path) -> None:
    images = pictures(3, 32, 32)
    reward = HPSv2.from_pretrained(str(published), processor=str(checkpoint), device="cpu")
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)
    tokens = tiny_tokenizer()(PROMPTS, padding=True, return_tensors="pt").input_ids
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's layer would rather take a nested tensor
        expected = open_clip_cosines(open_clip_state(), (images - mean) / std, tokens)
    scores = reward.score(images, PROMPTS)
    assert scores == pytest.approx(expected.numpy(), abs=1e-5)
    assert scores.std() > 1e-3
    (weights,) = weights_of(reward)
    assert weights.digest == hash_state(open_clip_state())


def test_the_published_file_is_found_in_its_folder(published: Path, checkpoint: Path) -> None:
    by_file, by_folder = (
        HPSv2.from_pretrained(str(source), processor=str(checkpoint), device="cpu")
        for source in (published, published.parent)
    )
    assert (by_file.score(pictures(), PROMPTS) == by_folder.score(pictures(), PROMPTS)).all()


def test_a_half_precision_file_scores_as_what_it_holds(tmp_path: Path, checkpoint: Path) -> None:
    half = {name: value.half() for name, value in open_clip_state().items()}
    torch.save(half, tmp_path / "half.pt")
    torch.save({name: value.float() for name, value in half.items()}, tmp_path / "single.pt")
    one, other = (
        HPSv2.from_pretrained(str(tmp_path / name), processor=str(checkpoint), device="cpu")
        for name in ("half.pt", "single.pt")
    )
    assert (one.score(pictures(), PROMPTS) == other.score(pictures(), PROMPTS)).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("visual.proj"), "lacks weights: visual_projection.weight"),
        (lambda state: state.pop("visual.conv1.weight"), "lacks weights: visual.conv1.weight"),
        (
            lambda state: state.pop("transformer.resblocks.1.attn.in_proj_bias"),
            "lacks weights: text_model",
        ),
        (lambda state: state.update({"visual.head": torch.zeros(2)}), "unexpected or ill-shaped weights: visual.head"),
        (lambda state: state.update({"ln_final.bias": torch.zeros(3)}), "final_layer_norm.bias|does not fit"),
        (lambda state: state.update({"epoch": 3}), "holds no state dict"),
    ],
)
def test_an_open_clip_file_of_another_model_is_refused(
    tmp_path: Path, checkpoint: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    state: dict[str, Any] = open_clip_state()
    change(state)
    torch.save(state, tmp_path / "changed.pt")
    with pytest.raises((FileError, RewardError), match=message):
        HPSv2.from_pretrained(str(tmp_path / "changed.pt"), processor=str(checkpoint), device="cpu")


def test_heads_of_another_width_are_refused(tmp_path: Path, checkpoint: Path) -> None:
    torch.save(open_clip_state(width=96), tmp_path / "narrow.pt")
    with pytest.raises(RewardError, match="image encoder .* has 96 channels"):
        HPSv2.from_pretrained(str(tmp_path / "narrow.pt"), processor=str(checkpoint), device="cpu")


def test_a_file_that_holds_code_is_not_run(tmp_path: Path, checkpoint: Path) -> None:
    torch.save({"state_dict": Path("x")}, tmp_path / "code.pt")
    with pytest.raises(FileError, match="code.pt' cannot be read"):
        HPSv2.from_pretrained(str(tmp_path / "code.pt"), processor=str(checkpoint), device="cpu")


def test_the_longer_side_fits_and_the_rest_is_black() -> None:
    wide = fit_longest(torch.full((3, 20, 64), 0.5), 32)
    assert wide.shape == (3, 32, 32)
    assert wide[:, 11:21] == pytest.approx(0.5, abs=1e-6)
    assert (wide[:, :11] == 0).all()
    assert (wide[:, 21:] == 0).all()
    tall = fit_longest(torch.full((3, 64, 10), 0.5), 32)
    assert tall[:, :, 13:18] == pytest.approx(0.5, abs=1e-6)
    assert tall[:, :, [12, 18]].abs().max() == 0
    square = torch.rand(3, 32, 32)
    assert fit_longest(square, 32) is square or torch.equal(fit_longest(square, 32), square)
