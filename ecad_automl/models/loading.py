"""Loads a diffusers pipeline, and counts what its transformer does."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ecad_automl.bundled import BUNDLED
from ecad_automl.errors import FileError, UnsupportedModelError
from ecad_automl.files.json_file import read_json_object
from ecad_automl.files.paths import expand_home, gated_text, is_gated
from ecad_automl.models.calls import Calls
from ecad_automl.models.checks import model_faults
from ecad_automl.models.generation import GenerationSettings, encode_prompts, stack_prompts
from ecad_automl.models.memory import place, told_if_short
from ecad_automl.models.text_to_image import check_text_to_image, default_settings
from ecad_automl.runtime import layout_of, layout_of_call
from ecad_automl.runtime.families import family_of
from ecad_automl.schedules.layout import Layout

_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}

#: How the revision of a pipeline begins whose weights are not those of its source.
CHANGED = "weights-"

_HASHED_PIECES = 3
_HASHED_BYTES = 65_536

#: Stands for all prompts where MACs are counted and depend on how long a prompt is.
NEUTRAL_PROMPT = "a photo of a red ball on a wooden table in front of a white wall"


@dataclass(frozen=True, repr=False)
class LoadedModel:
    """A pipeline ready to generate.

    Args:
        pipe: the diffusers pipeline, on its device.
        name: what the user named: a bundled model, a folder or a hub id.
        revision: the hub commit, or a hash of the folder's files.
        settings: how to call it unless the user says otherwise.
        offload: see :func:`load_model`.
        calls: what it is called with in place of prompts, if so.
    """

    pipe: Any
    name: str
    revision: str
    settings: GenerationSettings
    offload: str | None = None
    calls: Calls | None = None

    def __repr__(self) -> str:
        transformer = self.pipe.transformer
        dtype = str(transformer.dtype).removeprefix("torch.")
        return (
            f"LoadedModel({self.name!r}, {type(self.pipe).__name__}, {dtype} on {transformer.device}, "
            f"{self.settings.steps} steps)"
        )

    def with_settings(self, **changes: Any) -> LoadedModel:
        """The same pipeline with other generation settings; values that are None change nothing."""
        given = {name: value for name, value in changes.items() if value is not None}
        return replace(self, settings=replace(self.settings, **given))

    def with_scheduler(self, name: str | None) -> LoadedModel:
        """The same pipeline with a scheduler of another class, made of the configuration of its own.

        Args:
            name: of the class in diffusers; None, or that of the pipeline's own, changes nothing.

        Raises:
            UnsupportedModelError: diffusers has no such scheduler.
        """
        import diffusers

        if name is None or type(self.pipe.scheduler).__name__ == name:
            return self
        kind: Any = getattr(diffusers, name, None)
        if not name.endswith("Scheduler") or not hasattr(kind, "from_config"):
            raise UnsupportedModelError(
                f"There is no scheduler {name!r} in diffusers; name a class such as DPMSolverMultistepScheduler."
            )
        self.pipe.scheduler = kind.from_config(self.pipe.scheduler.config)
        return self


def load_model(
    name: str,
    *,
    revision: str | None = None,
    dtype: str | None = None,
    device: str | None = None,
    offload: str | None = None,
) -> LoadedModel:
    """Load a pipeline by name.

    Args:
        name: ``shapes`` or ``flow-shapes`` for a bundled model, a folder that ``DiffusionPipeline.save_pretrained``
            wrote, or a hub id.
        revision: hub revision.
        dtype: "float32", "float16" or "bfloat16"; the default is float32 on the CPU and bfloat16 elsewhere.
        device: torch device; the default is CUDA where there is one.
        offload: what is on that device at a time, by diffusers' means: one "model" of the pipeline
            (``enable_model_cpu_offload``), layers of one by "group" (``enable_group_offload``), or one layer by
            "sequential" (``enable_sequential_cpu_offload``); all of it by default.

    Raises:
        UnsupportedModelError: the model cannot be found or read, or its pipeline does not make
            images from text prompts alone.
        OptionError: there is no such device or way of offloading.
        DeviceMemoryError: it does not fit.
    """
    pipe = load_pipeline(name, revision=revision, dtype=dtype, device=device, offload=offload)
    return LoadedModel(pipe, name, model_revision(name, revision), default_settings(pipe, name), offload)


def load_pipeline(
    name: str,
    *,
    kind: str | None = None,
    revision: str | None = None,
    dtype: str | None = None,
    device: str | None = None,
    offload: str | None = None,
) -> Any:
    """Load a pipeline by name, of another kind too where the folder has all the parts of that.

    Args:
        name: see :func:`load_model`, as are the following.
        kind: name of a class of diffusers, such as "FluxImg2ImgPipeline"; None is the folder's own, which must make
            images from prompts alone.
        revision: hub revision.
        dtype: type of the weights.
        device: torch device.
        offload: what is on it at a time.

    Raises:
        EcadError: see :func:`load_model`.
    """
    for fault in model_faults(name, dtype=dtype, device=device, offload=offload):
        raise fault
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    dtype = dtype or ("float32" if device == "cpu" else "bfloat16")
    folder = model_folder(name)
    with told_if_short(f"Loading the model {name!r}"):
        pipe = _from_pretrained(str(folder) if folder.is_dir() else name, name, revision, _DTYPES[dtype], kind)
        if kind is None:
            check_text_to_image(pipe, name)
        return place(pipe, device, offload)


def model_folder(name: str) -> Path:
    """The folder of a bundled model, or the one that a name may be the path of."""
    return BUNDLED[name].weights if name in BUNDLED else expand_home(name)


def model_revision(name: str, revision: str | None = None) -> str:
    """What was just loaded under a name: the hub commit, or a hash of the folder's files.

    Args:
        name: see :func:`load_model`.
        revision: hub revision that was asked for.
    """
    folder = model_folder(name)
    if folder.is_dir():
        return _folder_revision(folder)
    return _cached_commit(name, revision) or revision or "main"


def _from_pretrained(source: str, name: str, revision: str | None, dtype: torch.dtype, kind: str | None) -> Any:
    import diffusers

    _refuse_code(Path(source), name)
    pipeline: Any = getattr(diffusers, kind or "DiffusionPipeline", None)
    if pipeline is None:
        raise UnsupportedModelError(f"There is no pipeline {kind!r} in diffusers, so {name!r} cannot be loaded as one.")
    try:
        return pipeline.from_pretrained(
            source, revision=revision, dtype=dtype, use_safetensors=True, trust_remote_code=False
        )
    except torch.OutOfMemoryError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError, AttributeError, TypeError, ImportError) as error:
        # from_pretrained reports a missing, damaged or incomplete model by any of these.
        if is_gated(error):
            raise UnsupportedModelError(gated_text(f"The model {name!r}", f"https://huggingface.co/{name}")) from error
        reason = " ".join(str(error).split())[:300]
        raise UnsupportedModelError(
            f"The model {name!r} could not be loaded ({reason}); give a complete pipeline folder with its weights, or "
            "a hub id that this machine can reach."
        ) from error


def _refuse_code(folder: Path, name: str) -> None:
    """A folder may bring Python files for its pipeline or a part of it, which diffusers would run.

    Of a repository on the hub diffusers runs none unless it is told to; of folders, its versions differ.

    Raises:
        UnsupportedModelError: the index of the pipeline names such a file, or is no index.
    """
    if not folder.is_dir() or not (folder / "model_index.json").is_file():
        return
    try:
        index = read_json_object(folder / "model_index.json", "pipeline index")
    except FileError as error:
        raise UnsupportedModelError(f"The model {name!r} could not be loaded: {error}") from error
    for part, value in index.items():
        library = value[0] if isinstance(value, list) and value else None
        if part == "_class_name":
            own = not isinstance(value, str) or (folder / f"{value}.py").exists()
        else:
            own = isinstance(library, str) and (folder / part / f"{library}.py").exists()
        if own:
            raise UnsupportedModelError(
                f"The model {name!r} brings Python code of its own for {part!r}, which is not run; give a folder whose "
                "parts are all of diffusers or transformers."
            )


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


def model_layout(model: LoadedModel) -> Layout:
    """The slots of the model's transformer with their MACs under its settings.

    Where the family does not know what the pipeline feeds its transformer, one step of a real call shows it: of the
    first call that was given, or with a neutral prompt. Some pipelines do not pad texts to one length: their MACs are
    then for that prompt.
    """
    pipe, settings = model.pipe, model.settings
    if any(cls.__name__ in family_of(pipe.transformer).counted for cls in type(pipe).__mro__):
        return layout_of(
            pipe,
            height=settings.height,
            width=settings.width,
            guidance=settings.guidance_scale > 1.0,
            text_tokens=settings.max_sequence_length,
        )
    if model.calls is None:
        call = stack_prompts(encode_prompts(pipe, [NEUTRAL_PROMPT], settings))
    else:
        call = dict(model.calls.arguments[0])
    # The generator leaves the random numbers of the caller alone.
    return layout_of_call(pipe, **call, **settings.call_arguments(), generator=torch.Generator().manual_seed(0))
