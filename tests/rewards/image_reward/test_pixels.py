from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from ecad_automl.rewards.image_reward.pixels import levels_to_pixels, picture_pixels, tensor_pixels, to_levels

MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)


def denormalized(pixels: torch.Tensor) -> torch.Tensor:
    return (pixels * STD + MEAN) * 255


def picture(height: int, width: int, *, noise: bool) -> Image.Image:
    rng = np.random.default_rng(height * width)
    y, x = np.mgrid[0:height, 0:width]
    smooth = np.stack([np.sin(x / 9 + y / 13), np.cos(x / 17), np.sin(y / 5)], axis=-1) * 100 + 128
    values = rng.integers(0, 256, (height, width, 3)) if noise else smooth
    return Image.fromarray(values.astype(np.uint8))


def test_a_picture_of_the_input_size_is_only_normalized() -> None:
    image = picture(32, 32, noise=True)
    expected = torch.from_numpy(np.array(image)).permute(2, 0, 1).float()
    assert denormalized(picture_pixels([image], 32))[0] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(("height", "width", "left", "top"), [(40, 81, 20, 0), (77, 40, 0, 18)])
def test_the_long_side_is_cropped_at_its_center(height: int, width: int, left: int, top: int) -> None:
    # As torchvision's CenterCrop, which rounds half a pixel to the even one: 20.5 to 20, 18.5 to 18.
    image = picture(height, width, noise=True)
    expected = torch.from_numpy(np.array(image.crop((left, top, left + 40, top + 40)))).permute(2, 0, 1).float()
    assert denormalized(picture_pixels([image], 40))[0] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("noise", [False, True])
@pytest.mark.parametrize(
    ("height", "width"),
    [(217, 301), (640, 97), (97, 640), (512, 512), (64, 64), (225, 224), (224, 900), (31, 200), (1, 1)],
)
def test_whole_numbers_give_what_pillow_gives_to_the_bit(height: int, width: int, noise: bool) -> None:
    image = picture(height, width, noise=noise)
    levels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()
    assert (levels_to_pixels(levels, 224) == picture_pixels([image], 224)).all()


def test_of_tall_pictures_only_rounding_and_clipping_between_the_passes_differ() -> None:
    # Pillow 13 takes the other side first; over- and undershoots of a smooth picture are small.
    image = picture(900, 300, noise=False)
    levels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()
    apart = (denormalized(levels_to_pixels(levels, 224)) - denormalized(picture_pixels([image], 224))).abs()
    assert apart.max() < 2.01  # of 255
    assert apart.mean() < 0.1


def test_a_tensor_is_taken_as_the_picture_that_saving_it_gives() -> None:
    tensor = torch.rand(2, 3, 40, 30, generator=torch.Generator().manual_seed(0))
    pictures = [Image.fromarray((image * 255).round().byte().permute(1, 2, 0).numpy()) for image in tensor]
    assert (tensor_pixels(tensor, 16) == picture_pixels(pictures, 16)).all()
    assert (levels_to_pixels(to_levels(tensor), 16) == picture_pixels(pictures, 16)).all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_any_float_type_is_taken(dtype: torch.dtype) -> None:
    tensor = torch.rand(2, 3, 20, 30, generator=torch.Generator().manual_seed(0)).to(dtype)
    assert (tensor_pixels(tensor, 16) == tensor_pixels(tensor.float(), 16)).all()
    assert tensor_pixels(tensor, 16).dtype == torch.float32
