from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from ecad_automl.views.report import data_uri


def opened(uri: str) -> Image.Image:
    head, _, data = uri.partition(",")
    assert head == "data:image/webp;base64"
    return Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")


def test_a_small_image_keeps_every_pixel() -> None:
    image = np.random.default_rng(0).random((32, 48, 3)).astype(np.float32)
    found = np.asarray(opened(data_uri(image)))
    np.testing.assert_array_equal(found, (image * 255).round().astype(np.uint8))


def test_a_large_image_is_made_smaller_in_its_proportions() -> None:
    image = np.zeros((600, 1200, 3), dtype=np.float32)
    assert opened(data_uri(image)).size == (512, 256)


def test_pixels_beyond_the_range_are_cut() -> None:
    image = np.array([[[-1.0, 0.5, 2.0]]], dtype=np.float32)
    assert opened(data_uri(image)).getpixel((0, 0)) == (0, 128, 255)
