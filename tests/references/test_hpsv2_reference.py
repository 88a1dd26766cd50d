"""HPS v2 beside the authors' package, and CLIP's tokenizer beside open_clip's.

Runs where both are in front of the path: ``PYTHONPATH=.references/hpsv2 pytest`` with this file (see
:mod:`tests.references.install`).
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from PIL import Image
from torch.nn import functional

from tests.references.torchvision_ops import declare_operators

HERE = all(importlib.util.find_spec(name) is not None for name in ("hpsv2", "open_clip", "ftfy", "torchvision"))
if HERE:
    declare_operators()  # before transformers imports torchvision

from transformers import CLIPModel, CLIPTokenizer  # noqa: E402

from ecad_automl.rewards.clip import HPSv2  # noqa: E402
from ecad_automl.rewards.open_clip_state import clip_config, to_transformers  # noqa: E402
from ecad_automl.rewards.preprocessing import to_pil  # noqa: E402
from tests.rewards.tiny_clip import save_clip, tiny_tokenizer  # noqa: E402

pytestmark = pytest.mark.skipif(
    not HERE,
    reason="hpsv2, open_clip_torch, ftfy and torchvision are not on the path: python -m tests.references.install hpsv2",
)

TEXTS = [
    "a photo of a red ball on a wooden table",
    "The Quick  Brown fox, 42 years old; isn't it?",
    "Ünïcödé, naïve café & 東京タワー at night",
    "8k, ultra-detailed (trending on artstation) --ar 16:9 :: v5!!",
    " ".join(["a cat and a dog under an umbrella"] * 20),
    "x",
]


@pytest.fixture
def authors(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """The package's modules of the network and of the preprocessing; its ``__init__`` wants more than these."""
    spec = importlib.util.find_spec("hpsv2")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent
    for name, path in (
        ("hpsv2", folder),
        ("hpsv2.src", folder / "src"),
        ("hpsv2.src.open_clip", folder / "src/open_clip"),
    ):
        package = ModuleType(name)
        package.__path__ = [str(path)]
        monkeypatch.setitem(sys.modules, name, package)
    return import_module("hpsv2.src.open_clip.model"), import_module("hpsv2.src.open_clip.transform")


def pictures() -> list[Image.Image]:
    """Square, wide, tall, and smaller than the network's input."""
    found = []
    for seed, shape in enumerate([(64, 64), (50, 91), (77, 33), (20, 24), (32, 32)]):
        coarse = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
        found += to_pil(functional.interpolate(coarse, shape, mode="bicubic").clamp(0, 1))
    return found


def authors_score(model: Any, transform: Any, image: Image.Image, prompt: str) -> float:
    """As in the package's ``score``, with a tokenizer of few words."""
    tokens = tiny_tokenizer()([prompt], truncation=True, max_length=77).input_ids[0]
    text = torch.zeros(1, 77, dtype=torch.long)
    text[0, : len(tokens)] = torch.tensor(tokens)
    with torch.no_grad():
        outputs = model(transform(image)[None], text)
    return float((outputs["image_features"] @ outputs["text_features"].T).item())


def test_scores_are_those_of_the_authors(authors: tuple[Any, Any], tmp_path: Path) -> None:
    network, transform = authors
    torch.manual_seed(0)
    model = network.CLIP(
        24,
        {"image_size": 32, "patch_size": 8, "layers": 3, "width": 160, "head_width": 80},
        {"context_length": 77, "vocab_size": len(tiny_tokenizer()), "width": 128, "heads": 2, "layers": 2},
        output_dict=True,
    ).eval()
    for parameter in model.parameters():
        if parameter.ndim:
            parameter.data += 0.1 * torch.randn_like(parameter)
    torch.save({"epoch": 1, "state_dict": model.state_dict()}, tmp_path / "HPS_v2.1_compressed.pt")
    save_clip(tmp_path / "processor")
    preprocess = transform.image_transform(32, is_train=False, resize_longest_max=True)
    prompts = ["the cat", "a dog, 3 years old.", "the sea", "the the the", "x" * 200]
    expected = [
        authors_score(model, preprocess, image, prompt) for image, prompt in zip(pictures(), prompts, strict=True)
    ]
    reward = HPSv2.from_pretrained(
        str(tmp_path / "HPS_v2.1_compressed.pt"), processor=str(tmp_path / "processor"), device="cpu"
    )
    found = reward.score(pictures(), prompts)
    assert found == pytest.approx(expected, abs=1e-5)
    assert found.std() > 0.01


def test_the_sizes_of_vit_h_14_are_those_that_the_published_file_would_have(authors: tuple[Any, Any]) -> None:
    network, _ = authors
    text = (Path(network.__file__).parent / "model_configs" / "ViT-H-14.json").read_text()
    with torch.device("meta"):
        state = network.CLIP(**json.loads(text)).state_dict()
    config = clip_config("ViT-H-14", state)
    vision, words = config.vision_config, config.text_config
    assert (vision.num_hidden_layers, vision.num_attention_heads, vision.image_size, vision.patch_size) == (
        32,
        16,
        224,
        14,
    )
    assert (words.num_hidden_layers, words.num_attention_heads, words.vocab_size) == (24, 16, 49408)
    with torch.device("meta"):
        ours = CLIPModel(config).state_dict()
    renamed = to_transformers(state)
    assert {name: value.shape for name, value in renamed.items()} == {name: value.shape for name, value in ours.items()}


def test_tokens_are_those_of_open_clip() -> None:
    from open_clip import tokenizer as theirs

    lines = gzip.decompress(Path(theirs.default_bpe()).read_bytes()).decode().split("\n")[1 : 49152 - 256 - 2 + 1]
    simple = theirs.SimpleTokenizer()
    vocabulary = {
        {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}.get(piece, piece): number
        for piece, number in simple.encoder.items()
    }
    ours = CLIPTokenizer(vocab=vocabulary, merges=[tuple(line.split()) for line in lines], model_max_length=77)
    expected = simple(TEXTS, context_length=77)
    found = ours(TEXTS, truncation=True, max_length=77).input_ids
    for text, tokens, others in zip(TEXTS, found, expected, strict=True):
        end = int(others.argmax()) + 1
        assert tokens == others[:end].tolist(), text
