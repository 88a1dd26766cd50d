"""The LoRA of the benchmarks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ecad_automl.models import load_model
from training.shapes.lora import add_lora, in_other_colors, in_usual_colors, train_lora


def _image(pipe: Any) -> torch.Tensor:
    call = {"num_inference_steps": 2, "height": 64, "width": 64, "max_sequence_length": 20, "output_type": "pt"}
    made: torch.Tensor = pipe(
        "a small solid red circle at the top on a white background",
        **call,
        clean_caption=False,
        use_resolution_binning=False,
        generator=torch.Generator().manual_seed(0),
    ).images
    return made


def test_other_colors_can_be_undone() -> None:
    pictures = torch.rand(2, 3, 4, 4)
    assert torch.equal(in_usual_colors(in_other_colors(pictures)), pictures)
    red = torch.tensor([1.0, 0.0, 0.0]).reshape(1, 3, 1, 1)
    assert in_other_colors(red).flatten().tolist() == [0.0, 1.0, 0.0]


def test_an_untrained_lora_changes_nothing_and_training_changes_it_alone(tmp_path: Path) -> None:
    pipe = load_model("shapes", device="cpu").pipe
    pipe.set_progress_bar_config(disable=True)
    plain = _image(pipe)
    add_lora(pipe.transformer, rank=2)
    assert torch.equal(_image(pipe), plain)
    frozen = {name: value.clone() for name, value in pipe.transformer.state_dict().items() if "lora" not in name}
    train_lora(pipe, tmp_path, steps=2, pictures=2)
    assert not torch.equal(_image(pipe), plain)
    state = pipe.transformer.state_dict()
    assert all(torch.equal(state[name], value) for name, value in frozen.items())
    again = load_model("shapes", device="cpu").pipe
    again.set_progress_bar_config(disable=True)
    add_lora(again.transformer, rank=2)
    train_lora(again, tmp_path, steps=2, pictures=2)  # is finished
    assert torch.equal(_image(again), _image(pipe))
