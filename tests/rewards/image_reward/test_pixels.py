from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from ecad_automl.rewards.image_reward._inputs import to_pixels

MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)


def denormalized(pixels: torch.Tensor) -> torch.Tensor:
    return (pixels * STD + MEAN) * 255


def picture(height: int, width: int) -> Image.Image:
    rng = np.random.default_rng(height * width)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_a_picture_of_the_input_size_is_only_normalized() -> None:
    image = picture(32, 32)
    expected = torch.from_numpy(np.array(image)).permute(2, 0, 1).float()
    assert denormalized(to_pixels([image], 32))[0] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(("height", "width", "left", "top"), [(40, 81, 20, 0), (77, 40, 0, 18)])
def test_the_long_side_is_cropped_at_its_center(height: int, width: int, left: int, top: int) -> None:
    # As torchvision's CenterCrop, which rounds half a pixel to the even one: 20.5 to 20, 18.5 to 18.
    image = picture(height, width)
    expected = torch.from_numpy(np.array(image.crop((left, top, left + 40, top + 40)))).permute(2, 0, 1).float()
    assert denormalized(to_pixels([image], 40))[0] == pytest.approx(expected, abs=1e-3)


def test_a_tensor_is_taken_as_the_picture_that_saving_it_gives() -> None:
    tensor = torch.rand(2, 3, 40, 30, generator=torch.Generator().manual_seed(0))
    pictures = [Image.fromarray((image * 255).round().byte().permute(1, 2, 0).numpy()) for image in tensor]
    assert (to_pixels(tensor, 16) == to_pixels(pictures, 16)).all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_any_float_type_is_taken(dtype: torch.dtype) -> None:
    tensor = torch.rand(2, 3, 20, 30, generator=torch.Generator().manual_seed(0)).to(dtype)
    assert (to_pixels(tensor, 16) == to_pixels(tensor.float(), 16)).all()
    assert to_pixels(tensor, 16).dtype == torch.float32
