"""The shipped weights."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from diffusers import PixArtAlphaPipeline

from ecad_automl.shapes import WEIGHTS
from ecad_automl.shapes.classifier import AttributeClassifier
from training.shapes.classifier import held_out_accuracy
from training.shapes.quality import measure_quality


def test_the_weights_stay_within_40_megabytes() -> None:
    assert sum(path.stat().st_size for path in WEIGHTS.rglob("*") if path.is_file()) < 40e6


def test_the_folder_is_a_plain_diffusers_pipeline_in_standard_parts() -> None:
    pipe = PixArtAlphaPipeline.from_pretrained(WEIGHTS)
    names = {name: type(part).__name__ for name, part in pipe.components.items()}
    assert names["transformer"] == "PixArtTransformer2DModel"
    assert names["vae"] == "AutoencoderKL"
    assert names["text_encoder"] == "T5EncoderModel"
    assert names["scheduler"] == "DPMSolverMultistepScheduler"
    assert json.loads((WEIGHTS / "model_index.json").read_text())["tokenizer"][1] == "PreTrainedTokenizerFast"


def test_no_file_names_the_machine_it_was_made_on() -> None:
    for path in WEIGHTS.rglob("*.json"):
        assert "_name_or_path" not in path.read_text()


def test_the_classifier_is_right_on_held_out_renders() -> None:
    assert held_out_accuracy(AttributeClassifier.load(WEIGHTS / "classifier"), pictures=512)["all"] > 0.98


def test_the_classifier_survives_saving(tmp_path: object) -> None:
    model = AttributeClassifier.load(WEIGHTS / "classifier")
    model.save(tmp_path)  # type: ignore[arg-type]
    again = AttributeClassifier.load(tmp_path)  # type: ignore[arg-type]
    pictures = torch.from_numpy(np.random.default_rng(0).random((2, 3, 64, 64), dtype=np.float32))
    for one, other in zip(model(pictures), again(pictures), strict=True):
        assert torch.equal(one, other)


@pytest.mark.slow
def test_pictures_show_what_held_out_captions_say() -> None:
    """As the model card says, within what 32 pictures can tell."""
    stated = json.loads((WEIGHTS / "quality.json").read_text())["all"]
    assert stated >= 0.95
    assert measure_quality(WEIGHTS, count=32)["all"] == pytest.approx(stated, abs=0.05)
