"""The untrained parts make a pipeline that diffusers loads and runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import FluxPipeline

from ecad_automl.errors import UnsupportedModelError
from ecad_automl.flow_shapes.classifier import AttributeClassifier, attributes_right, whole_pictures_right
from ecad_automl.flow_shapes.world import ATTRIBUTES, parse_caption, prompts
from training.flow_shapes.architecture import MAX_TOKENS, new_autoencoder, new_tokenizer
from training.flow_shapes.diffusion import pack, untrained
from training.flow_shapes.export import export
from training.flow_shapes.quality import draw


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    model = untrained(double_blocks=1, single_blocks=1)
    # Blocks that start as the identity would let no word through.
    for name, weight in model.transformer.named_parameters():
        if name.endswith("weight") and not weight.any():
            torch.nn.init.normal_(weight, std=0.1)
    out = tmp_path_factory.mktemp("pipeline")
    export(model, new_autoencoder(), out)
    return out


def test_the_pipeline_draws_captions(folder: Path) -> None:
    pipe = FluxPipeline.from_pretrained(folder, dtype=torch.float32)
    captions = prompts("held-out", 3)
    pictures = draw(pipe, captions, steps=2)
    assert pictures.shape == (3, 3, 64, 64)
    assert torch.equal(pictures, draw(pipe, captions, steps=2))
    assert not torch.equal(pictures, draw(pipe, captions, steps=2, in_two_calls=True))


def test_loading_gives_the_stored_weights(folder: Path) -> None:
    exact = FluxPipeline.from_pretrained(folder, dtype=torch.float32)
    stored = FluxPipeline.from_pretrained(folder, dtype=torch.float16)
    for name, value in exact.transformer.state_dict().items():
        assert torch.equal(value, stored.transformer.state_dict()[name].float())


def test_the_tokenizer_is_one_of_transformers_own_classes(folder: Path) -> None:
    index = (folder / "model_index.json").read_text()
    assert "PreTrainedTokenizerFast" in index
    assert "_name_or_path" not in index


def test_a_caption_ends_with_the_end_token_and_is_padded() -> None:
    tokens = new_tokenizer()("a large solid red circle on a white background", padding="max_length").input_ids
    assert len(tokens) == MAX_TOKENS
    assert tokens[9:] == [1, *[0] * (MAX_TOKENS - 10)]
    assert 2 not in tokens


def test_latents_are_packed_as_the_pipeline_does() -> None:
    latents = torch.randn(2, 12, 16, 16)
    assert torch.equal(pack(latents), FluxPipeline._pack_latents(latents, 2, 12, 16, 16))


def test_the_classifier_keeps_its_weights_and_shows_its_maps(tmp_path: Path) -> None:
    classifier = AttributeClassifier(width=8).eval()
    classifier.save(tmp_path)
    loaded = AttributeClassifier.load(tmp_path)
    pictures = torch.rand(2, 3, 64, 64)
    maps = loaded.features(pictures)
    assert [tuple(part.shape[1:]) for part in maps] == [(8, 32, 32), (16, 16, 16), (32, 8, 8)]
    for one, other, values in zip(classifier(pictures), loaded(pictures), ATTRIBUTES.values(), strict=True):
        assert torch.equal(one, other)
        assert one.shape == (2, len(values))


def test_a_missing_classifier_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError, match=r"python -m training\.flow_shapes"):
        AttributeClassifier.load(tmp_path)


def test_only_named_attributes_count() -> None:
    captions = prompts("held-out", 4)
    right = attributes_right(AttributeClassifier(width=8).eval(), torch.rand(4, 3, 64, 64), captions)
    labels = torch.tensor([parse_caption(caption).attributes() for caption in captions])
    assert torch.equal(right < 0, labels < 0)
    assert whole_pictures_right(torch.tensor([[1, -1], [1, 0], [1, 1]])) == pytest.approx(2 / 3)
