"""Checkpoints, inputs and outputs of the package image-reward itself. For a process of its own environment.

``python -m tests.references.image_reward_fixtures FOLDER [CASE ...]`` writes into the folder:

- ``CASE/ImageReward.pt`` and ``CASE/med_config.json``: random weights, as the package saves and reads them
- ``bert-base-uncased/``: a small vocabulary in the place of BERT's
- ``pictures/*.png``
- ``CASE/rewards.json``: what the package scores, ``(prompts, pictures)``
- ``pixels.safetensors``: what it makes of each picture
- ``tokens.json``: what it makes of each prompt
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import save_file

from tests.references.image_reward_cases import CASES, FULL_SIZE, FULL_SIZE_PAIRS, PROMPTS
from tests.references.pictures import make_pictures
from tests.references.reference_package import import_package, use_sizes
from tests.rewards.image_reward.small import Sizes, write_folder, write_words


def main(folder: Path, cases: list[str]) -> None:
    """Write all."""
    package = import_package()
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    pictures = make_pictures()
    for name, picture in pictures.items():
        picture.save(folder / "pictures" / f"{name}.png")
    write_words(folder / "bert-base-uncased")
    os.chdir(folder)  # where the package looks for its tokenizer first
    model: Any = None
    for case in cases:
        model = _write_case(package, folder / case, CASES[case])
    preprocessed = {name: model.preprocess(_read(folder, name)) for name in pictures}
    save_file(preprocessed, folder / "pixels.safetensors")
    tokens = model.blip.tokenizer(list(PROMPTS), padding="max_length", truncation=True, max_length=35)
    (folder / "tokens.json").write_text(json.dumps({"ids": tokens.input_ids, "mask": tokens.attention_mask}))


def _write_case(package: Any, folder: Path, sizes: Sizes) -> Any:
    """A checkpoint and its scores; gives the model."""
    write_folder(folder, sizes)
    checkpoint, config = str(folder / "ImageReward.pt"), str(folder / "med_config.json")
    use_sizes(sizes)
    model = package.load(checkpoint, device="cpu", med_config=config)
    # The package's load accepts any names; this one shows that the checkpoint has its layout.
    model.load_state_dict(torch.load(checkpoint, weights_only=True, mmap=True), strict=True)
    names = sorted(path.stem for path in (folder.parent / "pictures").iterdir())
    prompts = list(PROMPTS)
    if folder.name == FULL_SIZE:
        prompts, names = prompts[FULL_SIZE_PAIRS[0]], names[FULL_SIZE_PAIRS[1]]
    with torch.no_grad():
        rewards = [[model.score(prompt, _read(folder.parent, name)) for name in names] for prompt in prompts]
    (folder / "rewards.json").write_text(json.dumps({"prompts": prompts, "pictures": names, "rewards": rewards}))
    return model


def _read(folder: Path, name: str) -> Image.Image:
    return Image.open(folder / "pictures" / f"{name}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), sys.argv[2:])
