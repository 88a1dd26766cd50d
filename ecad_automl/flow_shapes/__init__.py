"""The second bundled model: a small FLUX pipeline that draws captions of a world of counted and overlapping shapes."""

from pathlib import Path

__all__ = ["WEIGHTS"]

#: Folder that ``FluxPipeline.from_pretrained`` loads.
WEIGHTS = Path(__file__).parent / "weights"
