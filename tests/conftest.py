"""Fixtures that several folders share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings

# Times vary on shared machines; the promise is the property, not its speed.
settings.register_profile("ecad", deadline=None)
settings.load_profile("ecad")


def pytest_itemcollected(item: pytest.Item) -> None:
    # DPMSolverMultistepScheduler.set_timesteps hands a tensor to np.array, of which NumPy 2 and PyTorch warn.
    item.add_marker(pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"))


@pytest.fixture(scope="session")
def tiny_pixart_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PixArt pipeline of two blocks with random weights, as ``save_pretrained`` writes it."""
    from diffusers import AutoencoderKL, PixArtAlphaPipeline, PixArtTransformer2DModel
    from transformers import T5Config, T5EncoderModel

    from ecad_automl.shapes.architecture import new_scheduler, new_tokenizer

    torch.manual_seed(0)
    tokenizer = new_tokenizer()
    pipe = PixArtAlphaPipeline(
        tokenizer=tokenizer,
        text_encoder=T5EncoderModel(
            T5Config(vocab_size=len(tokenizer), d_model=12, d_kv=4, d_ff=16, num_layers=1, num_heads=2)
        ),
        vae=AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            block_out_channels=(4, 8),
            layers_per_block=1,
            norm_num_groups=2,
        ),
        transformer=PixArtTransformer2DModel(
            num_attention_heads=2,
            attention_head_dim=8,
            in_channels=4,
            out_channels=4,
            num_layers=2,
            cross_attention_dim=16,
            sample_size=8,
            caption_channels=12,
        ),
        scheduler=new_scheduler(),
    )
    # Zero-initialised outputs would make every schedule alike.
    for parameter in pipe.transformer.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    folder = tmp_path_factory.mktemp("tiny") / "tiny-pixart"
    pipe.save_pretrained(folder)
    return folder


@pytest.fixture
def tiny_model(tiny_pixart_folder: Path) -> Any:
    """The tiny pipeline, loaded, with four denoising steps of 16 x 16 pixels."""
    from ecad_automl.models import load_model

    return load_model(str(tiny_pixart_folder)).with_settings(steps=4, height=16, width=16, max_sequence_length=8)
