"""Loads a diffusers pipeline and knows how its users usually call it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ecad_automl.errors import UnsupportedModelError
from ecad_automl.generation import GenerationSettings, supported_pipelines
from ecad_automl.layout import Layout
from ecad_automl.runtime import layout_of
from ecad_automl.shapes import WEIGHTS

__all__ = ["LoadedModel", "default_settings", "load_model", "model_layout"]

_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}

_HASHED_PIECES = 3
_HASHED_BYTES = 65_536


@dataclass(frozen=True)
class LoadedModel:
    """A pipeline ready to generate.

    Args:
        pipe: the diffusers pipeline, on its device.
        name: what the user named: ``shapes``, a folder or a hub id.
        revision: the hub commit, or a hash of the folder's files.
        settings: how to call it unless the user says otherwise.
    """

    pipe: Any
    name: str
    revision: str
    settings: GenerationSettings

    def with_settings(self, **changes: Any) -> LoadedModel:
        """The same pipeline with other generation settings; values that are None change nothing."""
        given = {name: value for name, value in changes.items() if value is not None}
        return replace(self, settings=replace(self.settings, **given))


def load_model(
    name: str, *, revision: str | None = None, dtype: str | None = None, device: str | None = None
) -> LoadedModel:
    """Load a pipeline by name.

    Args:
        name: ``shapes`` for the bundled model, a folder that ``DiffusionPipeline.save_pretrained`` wrote, or a hub id.
        revision: hub revision.
        dtype: "float32", "float16" or "bfloat16"; the default is float32 on the CPU and bfloat16 elsewhere.
        device: torch device; the default is CUDA where there is one.

    Raises:
        UnsupportedModelError: the model cannot be found or read, or its pipeline is not supported.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    dtype = dtype or ("float32" if device == "cpu" else "bfloat16")
    if dtype not in _DTYPES:
        raise UnsupportedModelError(f"The dtype {dtype!r} is unknown; choose one of {', '.join(_DTYPES)}.")
    folder = WEIGHTS if name == "shapes" else Path(name).expanduser()
    local = name == "shapes" or folder.is_dir()
    if not local and (folder.exists() or name.startswith((".", "/", "~")) or name.count("/") != 1):
        raise UnsupportedModelError(
            f"The model {name!r} is neither 'shapes', an existing folder with a model_index.json, nor a hub id like "
            "'PixArt-alpha/PixArt-XL-2-256x256'."
        )
    pipe = _from_pretrained(str(folder) if local else name, name, revision, _DTYPES[dtype])
    found_revision = _folder_revision(folder) if local else _cached_commit(name, revision) or revision or "main"
    kind = type(pipe).__name__
    if kind not in supported_pipelines():
        raise UnsupportedModelError(
            f"The model {name!r} is a {kind}, which is not supported; supported are {', '.join(supported_pipelines())}."
        )
    return LoadedModel(pipe.to(device), name, found_revision, default_settings(pipe, bundled=name == "shapes"))


def _from_pretrained(source: str, name: str, revision: str | None, dtype: torch.dtype) -> Any:
    from diffusers import DiffusionPipeline

    try:
        return DiffusionPipeline.from_pretrained(source, revision=revision, dtype=dtype)
    except (OSError, ValueError, KeyError, RuntimeError, AttributeError, TypeError) as error:
        # from_pretrained reports a missing, damaged or incomplete model by any of these.
        reason = " ".join(str(error).split())[:300]
        raise UnsupportedModelError(
            f"The model {name!r} could not be loaded ({reason}); give a complete pipeline folder with its weights, or "
            "a hub id that this machine can reach."
        ) from error


def _cached_commit(name: str, revision: str | None) -> str | None:
    """The commit of what was just loaded from the hub: a branch moves on, and a study must not mix its states."""
    from huggingface_hub import try_to_load_from_cache

    index = try_to_load_from_cache(name, "model_index.json", revision=revision)
    return Path(index).parent.name if isinstance(index, str) else None


def _folder_revision(folder: Path) -> str:
    """A short hash of the folder's files, so that a changed model is noticed.

    Of large files only the size and some pieces are read: training moves every weight.
    """
    digest = hashlib.blake2b(digest_size=6)
    # Beside the index, the parts of a pipeline lie in folders; what else lies beside it is documentation.
    for path in [folder / "model_index.json", *sorted(folder.glob("*/**/*"))]:
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)  # such as a clone's .git
        if hidden or not path.is_file():
            continue
        size = path.stat().st_size
        digest.update(f"{path.relative_to(folder)}\0{size}\0".encode())
        with path.open("rb") as file:
            for piece in range(_HASHED_PIECES):
                file.seek(max(0, size - _HASHED_BYTES) * piece // (_HASHED_PIECES - 1))
                digest.update(file.read(_HASHED_BYTES))
    return "folder-" + digest.hexdigest()


def default_settings(pipe: Any, *, bundled: bool = False) -> GenerationSettings:
    """How users of this pipeline commonly call it."""
    if bundled:
        extra = {"clean_caption": False, "use_resolution_binning": False}
        return GenerationSettings(20, 3.0, 64, 64, 20, extra)
    factor = pipe.vae_scale_factor
    if type(pipe).__name__ == "FluxPipeline":
        size = pipe.default_sample_size * factor
        return GenerationSettings(20, 3.5, size, size, 512)
    if type(pipe).__name__ == "StableDiffusion3Pipeline":
        size = pipe.default_sample_size * factor
        return GenerationSettings(28, 7.0, size, size, 256)
    size = pipe.transformer.config.sample_size * factor
    # Binning snaps to the aspect ratios of the published sizes and refuses all others.
    binning = pipe.transformer.config.sample_size in (32, 64, 128)
    extra = {"clean_caption": False, "use_resolution_binning": binning}
    tokens = 300 if type(pipe).__name__ == "PixArtSigmaPipeline" else 120
    return GenerationSettings(20, 4.5, size, size, tokens, extra)


def model_layout(model: LoadedModel) -> Layout:
    """The slots of the model's transformer with their MACs under its settings."""
    settings = model.settings
    return layout_of(
        model.pipe,
        height=settings.height,
        width=settings.width,
        guidance=settings.guidance_scale > 1.0,
        text_tokens=settings.max_sequence_length,
    )
