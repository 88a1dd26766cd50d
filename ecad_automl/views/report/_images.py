"""Images as texts that a page carries inside itself."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray

#: Longer side in pixels: enough to see what a schedule changes, and a page stays small.
_LARGEST = 512
#: Up to this side in pixels nothing is lost: such an image is small, and all of its pixels show.
_LOSSLESS = 128
_QUALITY = 82


def data_uri(image: NDArray[np.float32]) -> str:
    """An image as a ``data:`` URI of WebP.

    Args:
        image: ``(h, w, 3)`` float in [0, 1]; one larger than 512 pixels is made smaller.
    """
    from PIL import Image

    picture = Image.fromarray((np.clip(image, 0, 1) * 255).round().astype(np.uint8))
    picture.thumbnail((_LARGEST, _LARGEST), Image.Resampling.LANCZOS)
    with io.BytesIO() as file:
        picture.save(file, "WEBP", lossless=max(picture.size) <= _LOSSLESS, quality=_QUALITY, method=6)
        return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"
