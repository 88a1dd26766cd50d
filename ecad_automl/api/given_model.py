"""The model of a search, however it is given, and which weights a pipeline in memory has."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ecad_automl.bundled import BUNDLED, bundled_name
from ecad_automl.errors import UnsupportedModelError
from ecad_automl.models.calls import read_calls
from ecad_automl.models.loading import CHANGED, LoadedModel, model_folder, model_revision
from ecad_automl.models.text_to_image import check_text_to_image, default_settings
from ecad_automl.runtime.instrument import check_pipeline, transformers_of

#: Elements of each tensor that are compared: training, adapters and quantization change them all.
_ELEMENTS = 256


def as_model(given: Any, calls: Sequence[Mapping[str, Any]] | None = None) -> LoadedModel:
    """A model ready to generate.

    Of a pipeline the name is the folder or hub id that it was loaded from. Its revision is that of this source, as for
    a model that is named, where the transformer has the weights that lie there; else it is a hash of the weights, so
    that a study never mixes weights that were changed in memory with those of the source.

    Args:
        given: a diffusers pipeline, or what :func:`~ecad_automl.load_model` gave.
        calls: what it is called with in place of prompts, see :func:`~ecad_automl.models.calls.read_calls`.

    Raises:
        UnsupportedModelError: it is none of these, or a pipeline that cannot be searched.
        OptionError: it cannot be called so.
    """
    if isinstance(given, LoadedModel):
        if calls is None:
            return given
        given = given.pipe
    if not isinstance(getattr(given, "transformer", None), torch.nn.Module) or not callable(given):
        raise UnsupportedModelError(
            f"The model is a {type(given).__name__}, but a diffusers pipeline with a transformer is expected, or the "
            f"name of one: {', '.join(map(repr, BUNDLED))}, a folder or a hub id."
        )
    name = _name(given)
    if calls is not None:
        check_pipeline(given)
        read, settings = read_calls(given, calls)
        return LoadedModel(given, name, _revision(given, name), settings, calls=read)
    check_text_to_image(given, name)
    return LoadedModel(given, name, _revision(given, name), default_settings(given, name))


def _name(pipe: Any) -> str:
    name = getattr(pipe, "name_or_path", None) or type(pipe).__name__
    return bundled_name(name) or str(name)


def _revision(pipe: Any, name: str) -> str:
    source = _source(name)
    # Of two transformers, images depend on both.
    parts = ("transformer", "transformer_2")[: len(transformers_of(pipe))]
    states: list[Mapping[str, Tensor]] = [getattr(pipe, part).state_dict() for part in parts]
    if source is not None and all(_lies_in(state, source / part) for part, state in zip(parts, states, strict=True)):
        return model_revision(name)
    digest = hashlib.blake2b(digest_size=6)
    for state in states:
        for key in sorted(state):
            tensor = state[key]
            digest.update(f"{key}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
            digest.update(_some(tensor).contiguous().view(torch.uint8).numpy().tobytes())
    return CHANGED + digest.hexdigest()


def _source(name: str) -> Path | None:
    """The folder that a pipeline of this name was loaded from, if it is still there."""
    folder = model_folder(name)
    if folder.is_dir():
        return folder
    if name.count("/") != 1:
        return None
    from huggingface_hub import try_to_load_from_cache

    index = try_to_load_from_cache(name, "model_index.json")
    return Path(index).parent if isinstance(index, str) else None


def _lies_in(state: Mapping[str, Tensor], folder: Path) -> bool:
    """Whether the safetensors files of a folder hold these weights, in this type or another."""
    from safetensors import SafetensorError, safe_open

    missing = set(state)
    try:
        for path in sorted(folder.glob("*.safetensors")):
            with safe_open(path, framework="pt") as file:
                for key in missing & set(file.keys()):
                    # There may be files for several types; one of them has what was loaded.
                    there = file.get_tensor(key).to(state[key].dtype)
                    if there.shape == state[key].shape and torch.equal(_some(there), _some(state[key])):
                        missing.discard(key)
    except (OSError, SafetensorError):
        return False
    return not missing


def _some(tensor: Tensor) -> Tensor:
    """``(n,)``: evenly spread elements on the CPU; none of a tensor whose weights are elsewhere."""
    if tensor.is_meta:
        return torch.empty(0, dtype=tensor.dtype)
    flat = tensor.detach().reshape(-1)
    return flat[:: max(1, len(flat) // _ELEMENTS)][:_ELEMENTS].cpu()
