from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from ecad_automl.errors import UnsupportedModelError
from ecad_automl.judging.evaluation import Evaluator
from ecad_automl.models import load_model, model_layout
from ecad_automl.models.generation import GenerationSettings, remembered_texts
from ecad_automl.models.text_to_image import check_text_to_image, supported_pipelines
from ecad_automl.rewards import load_reward
from ecad_automl.runtime.families import FAMILIES
from ecad_automl.schedules.schedule import Schedule
from tests.commands import search_arguments

PROMPTS = ["a large solid red circle", "a small hollow blue square"]

NOT_FROM_TEXT_ALONE = [
    name for family in FAMILIES.values() for name in family.pipelines if name not in supported_pipelines()
]


def evaluator(model: Any, seeds: Sequence[int] = (0, 1), batch_size: int = 3) -> Evaluator:
    return Evaluator(model.pipe, PROMPTS, seeds, load_reward("fidelity"), model.settings, batch_size=batch_size)


def half_reused(model: Any) -> Schedule:
    layout = model_layout(model)
    bits = np.zeros((model.settings.steps, len(layout)), dtype=bool)
    bits[::2] = True
    return Schedule(layout, bits)


def test_a_pipeline_given_text_is_searched_like_any_other(
    text_tiny_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = evaluator(text_tiny_model)
    expected = text_tiny_model.pipe(
        prompt=PROMPTS[:1],
        # Without a negative prompt, Qwen-Image leaves out guidance.
        **({"negative_prompt": [" "]} if "true_cfg_scale" in text_tiny_model.settings.call_arguments() else {}),
        **text_tiny_model.settings.call_arguments(),
        generator=[torch.Generator().manual_seed(0)],
        output_type="pt",
    ).images
    assert torch.equal(evaluator(text_tiny_model, [0], 1).reference_images[:1], expected)

    schedule = half_reused(text_tiny_model)
    uncached = Schedule.all_compute(schedule.layout, schedule.steps)
    baseline = runner.baseline()
    # From here on, all texts are known.
    monkeypatch.setattr(text_tiny_model.pipe.text_encoder, "forward", None)
    assert torch.equal(runner.generate(uncached), runner.reference_images)
    found = runner.evaluate(schedule)
    assert schedule.mac_speedup > 1.3
    assert found.reward < baseline.reward
    assert len(runner.reference_images) == 4
    assert not torch.equal(runner.reference_images[0], runner.reference_images[2])
    assert "encode_prompt" not in vars(text_tiny_model.pipe)


def test_counting_macs_draws_no_random_numbers_of_the_caller(tiny_folders: Callable[[str], Path]) -> None:
    model = load_model(str(tiny_folders("sana")), device="cpu")
    before = torch.get_rng_state()
    layout = model_layout(model)
    assert torch.equal(torch.get_rng_state(), before)
    assert layout.sample == {"height": 64, "width": 64, "text_tokens": 300, "branches": 2}


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        ("pixart", GenerationSettings(20, 4.5, 16, 16, 120, {"clean_caption": False, "use_resolution_binning": False})),
        ("flux", GenerationSettings(20, 3.5, 256, 256, 512)),
        ("sd3", GenerationSettings(28, 7.0, 16, 16, 256)),
        ("sana", GenerationSettings(20, 4.5, 64, 64, 300, {"clean_caption": False, "use_resolution_binning": False})),
        (
            "sana-sprint",
            GenerationSettings(
                *(2, 4.5, 64, 64, 300),
                {"clean_caption": False, "use_resolution_binning": False, "intermediate_timesteps": None},
            ),
        ),
        ("flux2-klein", GenerationSettings(50, 4.0, 1024, 1024, 512)),
        ("qwen-image", GenerationSettings(50, 4.0, 256, 256, 512, guidance_argument="true_cfg_scale")),
        ("aura-flow", GenerationSettings(50, 3.5, 1024, 1024, 256)),
        ("z-image", GenerationSettings(50, 5.0, 1024, 1024, 512)),
        ("hunyuan-dit", GenerationSettings(50, 5.0, 64, 64, None, {"use_resolution_binning": False})),
    ],
)
def test_usual_settings_are_those_of_the_pipeline(
    tiny_folders: Callable[[str], Path], family: str, expected: GenerationSettings
) -> None:
    assert load_model(str(tiny_folders(family)), device="cpu").settings == expected


def test_settings_are_written_as_before_unless_guidance_has_another_name() -> None:
    assert "guidance_argument" not in GenerationSettings(4, 1.0, 8, 8, 8).to_dict()
    assert GenerationSettings(4, 1.0, 8, 8, 8, guidance_argument=None).to_dict()["guidance_argument"] is None


def test_all_kinds_of_pipelines_that_take_text_alone_are_supported() -> None:
    assert set(supported_pipelines()) == {
        *("PixArtAlphaPipeline", "PixArtSigmaPipeline", "FluxPipeline", "StableDiffusion3Pipeline", "Flux2Pipeline"),
        *(
            "Flux2KleinPipeline",
            "Flux2KleinKVPipeline",
            "QwenImagePipeline",
            "CogView4Pipeline",
            "AuraFlowPipeline",
            "ChromaPipeline",
        ),
        *("ZImagePipeline", "Lumina2Pipeline", "SanaPipeline", "SanaSprintPipeline", "HunyuanDiTPipeline"),
        "HiDreamImagePipeline",
    }


@pytest.mark.parametrize("name", NOT_FROM_TEXT_ALONE)
def test_other_pipelines_of_the_families_are_refused_with_what_works(name: str) -> None:
    kind = getattr(diffusers, name)
    with pytest.raises(
        UnsupportedModelError, match=f"'mine' is a {name}, .* apply_schedule can run it .* SanaPipeline"
    ):
        check_text_to_image(kind.__new__(kind), "mine")


def test_unknown_pipelines_are_refused() -> None:
    with pytest.raises(UnsupportedModelError, match=r"is a DDPMPipeline, which is not supported.* PixArtAlphaPipeline"):
        check_text_to_image(diffusers.DDPMPipeline.__new__(diffusers.DDPMPipeline), "mine")


def test_a_pipeline_of_class_labels_cannot_be_loaded_for_search(tmp_path: Path) -> None:
    from tests.runtime.cases import CASES

    CASES["dit-unguided"]().pipe.save_pretrained(tmp_path)
    with pytest.raises(UnsupportedModelError, match="is a DiTPipeline, which does not make images from text prompts"):
        load_model(str(tmp_path), device="cpu")


def test_a_pipeline_without_texts_has_nothing_to_remember() -> None:
    class Plain:
        pass

    with remembered_texts(Plain(), {}):
        pass


@pytest.mark.slow
def test_a_search_runs_from_the_command_line(
    tiny_folders: Callable[[str], Path], tmp_path: Path, run_cli: Callable[..., Any]
) -> None:
    code, out, err = run_cli(*search_arguments(tmp_path, tiny_folders("sana"), 6, size=32), "--fixed-steps")
    assert code == 0, out + err
    assert "Done: 6 schedules" in out
