"""Draws the pictures of the pages: ``python -m scripts.docs.make_pictures --storage demo/shapes.db``.

All but the diagrams show a real study of the bundled model, that of ``make demo``; no image is made for them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ecad_automl.errors import EcadError

if TYPE_CHECKING:
    from scripts.docs.pictures.study import Study

__all__ = ["IMAGES", "PICTURES", "main", "pictures"]

IMAGES = Path(__file__).parents[2] / "docs" / "images"

#: Names of the files that are drawn.
PICTURES = (
    "concept-anchors.png",
    "concept-drift.png",
    "concept-front.png",
    "concept-loop.png",
    "concept-prefilter.png",
    "concept-reuse.png",
    "concept-schedule.png",
    "concept-trust.png",
    "design-rooms.png",
)


def pictures() -> Mapping[str, Callable[[Study, Path], None]]:
    """What draws each of them."""
    from scripts.docs.pictures import diagrams, schedules, searching

    return {
        "concept-anchors.png": searching.anchors,
        "concept-drift.png": schedules.drift,
        "concept-front.png": searching.front,
        "concept-loop.png": diagrams.loop,
        "concept-prefilter.png": searching.prefilter,
        "concept-reuse.png": schedules.reuse,
        "concept-schedule.png": schedules.schedule,
        "concept-trust.png": searching.trust,
        "design-rooms.png": diagrams.rooms,
    }


def main() -> None:
    """Draw all pictures, or those that are named."""
    parser = argparse.ArgumentParser(description="Draw the pictures of the docs from a study of the bundled model.")
    parser.add_argument("--storage", default="demo/shapes.db", help="its database; made by `make demo`")
    parser.add_argument("--out", type=Path, default=IMAGES)
    parser.add_argument("names", nargs="*", metavar="PICTURE", help="files to draw; all by default")
    options = parser.parse_args()
    if unknown := set(options.names) - set(PICTURES):
        parser.error(f"there is no picture {min(unknown)}; there are {', '.join(PICTURES)}")
    from scripts.docs.pictures.study import load

    try:
        study = load(options.storage)
    except EcadError as error:
        sys.exit(f"Error: {error}")
    options.out.mkdir(parents=True, exist_ok=True)
    for name, draw in pictures().items():
        if not options.names or name in options.names:
            draw(study, options.out / name)
            sys.stdout.write(f"{options.out / name}\n")


if __name__ == "__main__":
    main()
