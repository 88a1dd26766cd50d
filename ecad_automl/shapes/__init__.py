"""The bundled model: a small PixArt pipeline that draws captions of a procedural world of shapes."""

from pathlib import Path

__all__ = ["WEIGHTS"]

#: Folder that ``PixArtAlphaPipeline.from_pretrained`` loads.
WEIGHTS = Path(__file__).parent / "weights"
