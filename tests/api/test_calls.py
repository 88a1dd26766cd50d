"""Searching what is called with more than prompts: images to begin with, control images, videos."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderKLCogVideoX,
    AutoencoderKLLTXVideo,
    AutoencoderKLWan,
    FluxControlNetModel,
    FluxControlNetPipeline,
    FluxImg2ImgPipeline,
    WanPipeline,
)
from PIL import Image

import ecad_automl
from ecad_automl.api import Front
from ecad_automl.errors import EvaluationError, OptionError, StudyError
from studies import LatencySettings, SearchConfig
from tests.api.conftest import METHOD
from tests.runtime.cases import CASES
from tests.tiny_models import TINY_PIPELINES

SIZE = {"height": 16, "width": 16, "max_sequence_length": 8}
PROMPTS = ("a red circle", "a blue square")
CONFIG = SearchConfig(evaluations=3, offspring=2, heuristics="none", **METHOD)


def _image(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8))


def _beginning(seed: int) -> list[dict[str, Any]]:
    """Calls of which the last four of eight steps are run."""
    common = {"strength": 0.5, "num_inference_steps": 8, **SIZE}
    return [{"prompt": text, "image": _image(seed + at), **common} for at, text in enumerate(PROMPTS)]


@pytest.fixture(scope="module")
def flux() -> Any:
    pipe = TINY_PIPELINES["flux"]()
    pipe.set_progress_bar_config(disable=True)
    pipe.text_encoder_2.eval()  # which drops out else
    return pipe


@pytest.fixture(scope="module")
def beginner(flux: Any) -> Any:
    return FluxImg2ImgPipeline(**flux.components)


def _image_to_image(flux: Any) -> tuple[Any, list[dict[str, Any]]]:
    return FluxImg2ImgPipeline(**flux.components), _beginning(0)


def _control_net(flux: Any) -> tuple[Any, list[dict[str, Any]]]:
    torch.manual_seed(0)
    kept = ("in_channels", "attention_head_dim", "num_attention_heads", "joint_attention_dim")
    more = ("pooled_projection_dim", "guidance_embeds", "axes_dims_rope")
    config = {name: flux.transformer.config[name] for name in (*kept, *more)}
    controlnet = FluxControlNetModel(num_layers=1, num_single_layers=1, **config)
    for parameter in controlnet.parameters():  # it begins as one that controls nothing
        torch.nn.init.normal_(parameter, std=0.2)
    calls = [{"prompt": text, "control_image": _image(0), "num_inference_steps": 4, **SIZE} for text in PROMPTS]
    return FluxControlNetPipeline(**flux.components, controlnet=controlnet), calls


def _video(_flux: Any) -> tuple[Any, list[dict[str, Any]]]:
    case = CASES["wan-guided"]()
    torch.manual_seed(0)
    size: dict[str, Any] = {"base_dim": 4, "z_dim": 4, "dim_mult": [1, 1, 1, 1], "num_res_blocks": 1}
    case.pipe.vae = AutoencoderKLWan(**size, latents_mean=[0.0] * 4, latents_std=[1.0] * 4).eval()
    call = {**case.inputs(1), **case.call, "height": 16, "width": 32, "num_inference_steps": 4}
    return case.pipe, [call, {**call, "prompt_embeds": call["prompt_embeds"] + 1.0}]


def _ltx(_flux: Any) -> tuple[Any, list[dict[str, Any]]]:
    case = CASES["ltx-guided"]()
    torch.manual_seed(0)
    case.pipe.vae = AutoencoderKLLTXVideo(
        latent_channels=4,
        block_out_channels=(4, 4, 4, 4),
        decoder_block_out_channels=(4, 4, 4, 4),
        layers_per_block=(1, 1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1, 1),
    ).eval()
    case.pipe.vae_spatial_compression_ratio = case.pipe.vae.spatial_compression_ratio
    call = {**case.inputs(1), **case.call, "height": 32, "width": 64, "num_inference_steps": 4}
    return case.pipe, [call, {**call, "prompt_embeds": call["prompt_embeds"] + 1.0}]


def _cogvideox(_flux: Any) -> tuple[Any, list[dict[str, Any]]]:
    case = CASES["cogvideox-guided"]()
    torch.manual_seed(0)
    case.pipe.vae = AutoencoderKLCogVideoX(
        latent_channels=4, block_out_channels=(4, 4, 4, 4), layers_per_block=1, norm_num_groups=2
    ).eval()
    call = {**case.inputs(1), **case.call, "height": 16, "width": 32, "num_inference_steps": 4}
    return case.pipe, [call, {**call, "prompt_embeds": call["prompt_embeds"] + 1.0}]


@pytest.mark.filterwarnings("ignore:`FluxPosEmbed` is deprecated:FutureWarning")
@pytest.mark.parametrize("kind", [_image_to_image, _control_net, _video, _ltx, _cogvideox])
def test_schedules_are_scored_by_what_the_pipeline_gives_in_such_calls(
    kind: Callable[[Any], tuple[Any, list[dict[str, Any]]]], flux: Any
) -> None:
    pipe, calls = kind(flux)
    front = ecad_automl.quick(pipe, calls=calls, images=2, check=1)
    point = next(point for point in front if point.checked is not None)
    assert point.schedule.steps == 4
    assert point.checked is not None and point.checked.scores.shape == (2, 1)
    for call, score in zip(calls, point.checked.scores[:, 0], strict=True):
        with torch.no_grad():
            uncached = _made(pipe, call)
            with ecad_automl.apply_schedule(pipe, point.schedule):
                cached = _made(pipe, call)
        # Each frame for itself; an image is one.
        distances = (cached - uncached).square().reshape(-1, 3 * call["height"] * call["width"]).mean(dim=1).sqrt()
        assert score == pytest.approx(-float(distances.mean()), rel=1e-4)
        assert score < 0


@pytest.fixture(scope="module")
def pair(flux: Any) -> tuple[Any, dict[str, Any]]:
    """A pipeline of two transformers that take the steps in turns, and a call."""
    single, calls = _video(flux)
    parts = {**single.components, "transformer_2": copy.deepcopy(single.transformer)}
    pipe = WanPipeline(**parts, boundary_ratio=0.8)
    pipe.set_progress_bar_config(disable=True)
    return pipe, calls[0] | {"num_inference_steps": 6}


def test_both_of_two_transformers_have_a_front_of_quick(pair: tuple[Any, dict[str, Any]]) -> None:
    pipe, call = pair
    front = ecad_automl.quick(pipe, calls=[call], images=1, check=1)
    assert {point.schedule.steps for point in front} == {6}
    point = next(point for point in front if point.checked is not None)
    assert point.checked is not None
    assert point.checked.reward == pytest.approx(_fidelity(pipe, call, point), rel=1e-4)


def test_both_of_two_transformers_are_searched_in_one_study(pair: tuple[Any, dict[str, Any]], tmp_path: Path) -> None:
    pipe, call = pair

    def search(of: Any, **more: Any) -> Front:
        given = {"storage": tmp_path / "pair.db", "study": "pair", "progress": False, "config": CONFIG, **more}
        return ecad_automl.search(of, calls=[call], **given)

    front = search(pipe)
    assert {point.steps for point in front.evaluations} > {6}  # shorter runs too
    for point in front.evaluations[:4]:
        assert point.reward == pytest.approx(_fidelity(pipe, call, point), rel=1e-4, abs=1e-6)
    with ecad_automl.apply_schedule(pipe, front) as run:
        pipe(**call | run.arguments)
    other = WanPipeline(**pipe.components, boundary_ratio=0.8)
    other.transformer_2 = copy.deepcopy(other.transformer_2)
    other.transformer_2.proj_out.bias.data += 1.0
    with pytest.raises(StudyError, match=r"was started with something else: revision"):
        search(other)


def _fidelity(pipe: Any, call: dict[str, Any], point: Any) -> float:
    """Less the distance of frames to those of the uncached run."""
    uncached = _made(pipe, call)
    with ecad_automl.apply_schedule(pipe, point.schedule) as run:
        made = _made(pipe, call | run.arguments)
    return -float((made - uncached).square()[0].flatten(1).mean(dim=1).sqrt().mean())


def _made(pipe: Any, call: dict[str, Any]) -> torch.Tensor:
    made: torch.Tensor = pipe(**call, generator=torch.Generator().manual_seed(0), output_type="pt")[0]
    return made


def test_a_reward_is_given_the_frames_of_a_video_each_with_its_prompt(flux: Any) -> None:
    seen = []

    def brightness(images: torch.Tensor, prompts: Sequence[str]) -> torch.Tensor:
        seen.append((tuple(images.shape), list(prompts)))
        return images.mean(dim=(1, 2, 3))

    pipe, calls = _video(flux)
    ecad_automl.quick(pipe, calls=calls[:1], images=1, check=1, reward=brightness)
    assert seen == [((5, 3, 16, 32), [""] * 5)] * 2  # uncached, and under a schedule


@pytest.fixture(scope="module")
def study(beginner: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Front]:
    config = SearchConfig(evaluations=2, offspring=2, heuristics="none", steps_from=1.0, **METHOD)
    storage = tmp_path_factory.mktemp("calls") / "calls.db"

    def search(calls: Sequence[dict[str, Any]], **more: Any) -> Front:
        given = {"storage": storage, "study": "calls", "progress": False, "config": config, **more}
        return ecad_automl.search(beginner, calls=calls, **given)

    return search


def test_a_study_goes_on_with_the_same_calls_alone(study: Callable[..., Front]) -> None:
    front = study(_beginning(0))
    assert {point.steps for point in front.evaluations} == {4}  # those that are run
    assert front.reward_name == "fidelity"
    assert len(study(_beginning(0), evaluations=3).evaluations) > len(front.evaluations)
    with pytest.raises(StudyError, match=r"'calls' .* was started with something else: .*calls\.digests"):
        study(_beginning(5))


def test_a_front_is_confirmed_on_other_calls(
    study: Callable[..., Front], beginner: Any, run_cli: Callable[..., Any], tmp_path: Path
) -> None:
    front = study(_beginning(0))
    with pytest.raises(OptionError, match="was searched with calls; give calls"):
        front.confirm(beginner, ["a green triangle", "a gray cross"])
    found = front.confirm(beginner, calls=_beginning(10), baselines=False, progress=False)
    assert all(point.confirmed is not None and point.confirmed.images == 2 for point in found)

    code, _, error = run_cli("confirm", "--storage", front.storage, "--prompts", tmp_path / "none.txt")
    assert code == 2 and "none.txt" in error
    (tmp_path / "some.txt").write_text("a green triangle\na gray cross\n")
    code, _, error = run_cli("confirm", "--storage", front.storage, "--prompts", tmp_path / "some.txt")
    assert code == 2
    assert "calls of its own (image, prompt), which it does not keep" in error


def test_a_file_tells_how_its_run_begins(beginner: Any, tmp_path: Path) -> None:
    calls = _beginning(0)[:1]
    front = ecad_automl.quick(beginner, calls=calls, images=1)
    assert front.metadata.call["num_inference_steps"] == 8
    assert front.metadata.call["strength"] == 0.5
    shorter = front.points[0].schedule.resample(3)
    ecad_automl.save_schedule(tmp_path / "shorter.json", shorter, front.metadata)
    with ecad_automl.apply_schedule(beginner, tmp_path / "shorter.json") as run:
        assert run.arguments == {"num_inference_steps": 6, "strength": 0.5}
        beginner(**calls[0] | run.arguments)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"imagine": 1}, "Call 2 has 'imagine', which FluxImg2ImgPipeline does not take"),
        ({"output_type": "pil"}, "Call 2 has 'output_type', which is not for a call here"),
        ({"strength": 0.6}, "The calls have strength of 0.5, 0.6; a schedule is for one"),
        ({"prompt": ["a", "b"]}, "The prompt of call 2 is a list, but a text is expected"),
        ({"image": object()}, "Call 2 has 'image' of a object, but numbers, texts, images"),
    ],
)
def test_what_is_wrong_with_a_call_is_said(change: dict[str, Any], message: str, beginner: Any) -> None:
    first, second = _beginning(0)
    with pytest.raises(OptionError, match=message):
        ecad_automl.search(beginner, calls=[first, {**second, **change}])


def test_calls_stand_in_place_of_prompts_and_of_how_they_are_called(beginner: Any) -> None:
    calls = _beginning(0)
    with pytest.raises(OptionError, match="Calls were given with prompts, steps, which are for prompts"):
        ecad_automl.search(beginner, PROMPTS, calls=calls, steps=4)
    with pytest.raises(OptionError, match="Calls are of a pipeline; give one that is loaded"):
        ecad_automl.search("shapes", calls=calls)
    with pytest.raises(OptionError, match="no height, of which MACs depend"):
        ecad_automl.quick(beginner, calls=[{"prompt": "a red circle", "image": _image(0)}])


def test_latency_is_that_of_a_call(beginner: Any, tmp_path: Path) -> None:
    latency = LatencySettings(schedules=14)
    given = {"storage": tmp_path / "timed.db", "progress": False, "config": CONFIG}
    front = ecad_automl.search(beginner, calls=_beginning(0), study="timed", cost=latency, **given)
    assert all((point.latency_ms or 0) > 0 for point in front.evaluations)
    with pytest.raises(EvaluationError, match="Calls are timed one at a time, but 2 at once were asked for"):
        ecad_automl.search(
            beginner, calls=_beginning(0), study="two", cost=LatencySettings(batch_size=2, schedules=14), **given
        )


def test_workers_make_the_same_calls(flux: Any, tmp_path: Path) -> None:
    flux.save_pretrained(tmp_path / "flux")
    pipe = FluxImg2ImgPipeline.from_pretrained(tmp_path / "flux")
    pipe.set_progress_bar_config(disable=True)
    given = {"storage": tmp_path / "calls.db", "progress": False, "config": CONFIG, "reward": "fidelity"}
    alone = ecad_automl.search(pipe, calls=_beginning(0), study="alone", **given)
    spread = ecad_automl.search(
        pipe, calls=_beginning(0), study="spread", executor="processes", workers=1, asynchronous=False, **given
    )
    rewards = {point.genome: point.reward for point in alone.evaluations}
    assert {point.genome: pytest.approx(point.reward, rel=1e-4) for point in spread.evaluations} == rewards
    with pytest.raises(EvaluationError, match="was changed in memory, and workers load it from disk"):
        ecad_automl.search(
            FluxImg2ImgPipeline(**flux.components), calls=_beginning(0), study="none", executor="processes", **given
        )


def test_images_are_made_as_a_whole_number_of_steps() -> None:
    from ecad_automl.models.generation import GenerationSettings

    for steps in range(1, 60):
        for strength in (0.05, 0.3, 0.35, 0.6, 0.75, 0.99):
            settings = GenerationSettings(steps, 1.0, 16, 16, None, strength=strength)
            call = settings.call_arguments()
            asked, share = call["num_inference_steps"], call["strength"]
            # The two ways in which pipelines of diffusers round.
            assert min(int(asked * share), asked) == asked - int(max(asked - asked * share, 0)) == steps
            assert share == pytest.approx(strength, abs=1.5 / asked)
