"""A CLIP checkpoint in the format of transformers, with its tokenizer and its preprocessing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import AutoConfig, AutoTokenizer, CLIPModel

from ecad_automl.errors import RewardError
from ecad_automl.files.paths import expand_home
from ecad_automl.files.weights import Weights, hash_state
from ecad_automl.rewards.preprocessing import Images, to_pil

Preprocess = Callable[[Images], Tensor]

#: A folder with one of each has its own processor.
_TOKENIZER_FILES = ("tokenizer.json", "vocab.json")
_IMAGE_FILES = ("preprocessor_config.json", "processor_config.json")


class ClipEncoder:
    """Cosines between images and texts under a CLIP model.

    Args:
        model: a transformers ``CLIPModel``.
        tokenizer: its tokenizer.
        preprocess: from images to ``(n, 3, size, size)`` pixel values.
        weights: where the model came from.
        device: torch device; the default is CUDA where there is one.
        dtype: type of weights and activations; the default is float32. Embeddings are compared in float32.
        batch_size: images, and texts, per forward.

    Raises:
        RewardError: the tokenizer has another vocabulary than the model.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        preprocess: Preprocess,
        weights: Weights,
        *,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
        batch_size: int = 32,
    ) -> None:
        words = model.config.text_config.vocab_size
        if len(tokenizer) != words:
            raise RewardError(
                f"The model {weights.source!r} has a vocabulary of {words} tokens and its tokenizer "
                f"{tokenizer.name_or_path!r} one of {len(tokenizer)}; name a folder or a hub id with the tokenizer of "
                "this model."
            )
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.dtype = dtype or torch.float32
        self.weights = weights
        self.batch_size = batch_size
        self._model = model.to(self.device, self.dtype).eval().requires_grad_(requires_grad=False)
        self._tokenizer = tokenizer
        self._preprocess = preprocess

    @classmethod
    def from_pretrained(
        cls,
        source: str,
        *,
        processor: str | None = None,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> ClipEncoder:
        """Load a checkpoint.

        Args:
            source: folder or hub id of a CLIP checkpoint in the format of transformers.
            processor: folder or hub id of the tokenizer and the preprocessing; ``source`` where None.
            device: see the class.
            dtype: see the class.

        Raises:
            RewardError: it cannot be found or read, is no CLIP, or lacks weights or has others.
        """
        source = _expanded(source)
        try:
            kind = AutoConfig.from_pretrained(source, trust_remote_code=False).model_type
        except (OSError, ValueError) as error:
            raise _unreadable("checkpoint", source, error) from error
        if kind != "clip":
            raise RewardError(f"The checkpoint {source!r} is of a {kind!r} model; a CLIP model is expected.")
        try:
            model, info = CLIPModel.from_pretrained(source, dtype="auto", output_loading_info=True)
        except (OSError, ValueError, RuntimeError) as error:
            raise _unreadable("checkpoint", source, error) from error
        check_keys(source, info["missing_keys"], [*info["unexpected_keys"], *info["mismatched_keys"]])
        place = processor or source
        return cls(
            model,
            clip_tokenizer(place),
            clip_preprocessing(place),
            Weights(source, hash_state(model.state_dict())),
            device=device,
            dtype=dtype,
        )

    @property
    def logit_scale(self) -> float:
        """The learned factor of cosines, ``exp`` of what the checkpoint holds."""
        return float(self._model.logit_scale.detach().float().exp())

    @torch.inference_mode()
    def cosines(self, images: Images, prompts: Sequence[str]) -> Tensor:
        """Cosine of each image's embedding with that of its prompt.

        Args:
            images: ``n`` images.
            prompts: ``n`` texts; of longer ones the first 77 tokens count, the last of them being the end mark.

        Returns:
            ``(n,)`` float64 in [-1, 1] on the CPU.
        """
        if not len(prompts):
            return torch.zeros(0, dtype=torch.float64)
        texts = {text: number for number, text in enumerate(dict.fromkeys(prompts))}
        text_embeddings = self._embed_texts(list(texts))[[texts[prompt] for prompt in prompts]]
        return (self._embed_images(images) * text_embeddings).sum(dim=1).double().clamp(-1, 1).cpu()

    def _embed_images(self, images: Images) -> Tensor:
        chunks = (images[start : start + self.batch_size] for start in range(0, len(images), self.batch_size))
        values = (self._preprocess(chunk).to(self.device, self.dtype) for chunk in chunks)
        return _normalized(self._model.get_image_features(pixel_values=batch) for batch in values)

    def _embed_texts(self, texts: list[str]) -> Tensor:
        longest = self._model.config.text_config.max_position_embeddings
        chunks = (texts[start : start + self.batch_size] for start in range(0, len(texts), self.batch_size))
        tokens = (
            self._tokenizer(chunk, padding=True, truncation=True, max_length=longest, return_tensors="pt")
            for chunk in chunks
        )
        return _normalized(
            self._model.get_text_features(
                input_ids=batch.input_ids.to(self.device), attention_mask=batch.attention_mask.to(self.device)
            )
            for batch in tokens
        )


def check_keys(source: str, missing: Iterable[object], unexpected: Iterable[object]) -> None:
    """See that a checkpoint holds the weights of its model, and no others but ``position_ids``, which are no weights.

    Raises:
        RewardError: it does not; the first few are named.
    """
    # Early versions of transformers stored them, and not all later ones pass over them in silence.
    unexpected = [key for key in unexpected if not str(key).endswith(".position_ids")]
    for fault, keys in (("lacks", missing), ("holds unexpected or ill-shaped", unexpected)):
        names = sorted(str(key) for key in keys)
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise RewardError(
                f"The checkpoint {source!r} {fault} weights: {', '.join(names[:3])}{more}; scores would mean nothing. "
                "Name a checkpoint of this very kind of model."
            )


def clip_tokenizer(source: str) -> Any:
    """The tokenizer of a folder or hub id.

    Raises:
        RewardError: there is none.
    """
    try:
        return AutoTokenizer.from_pretrained(_expanded(source), trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise _unreadable("tokenizer", source, error) from error


def clip_preprocessing(source: str) -> Preprocess:
    """The preprocessing of a folder or hub id: transformers' ``CLIPImageProcessorPil``, on 8-bit pictures.

    Scores are so those of the PNG files that would be written of the images, and the same with and without torchvision.

    Raises:
        RewardError: there is none.
    """
    from transformers import CLIPImageProcessorPil

    try:
        processor = CLIPImageProcessorPil.from_pretrained(_expanded(source))
    except (OSError, ValueError) as error:
        raise _unreadable("image processor", source, error) from error

    def preprocess(images: Images) -> Tensor:
        values: Tensor = processor(images=to_pil(images), return_tensors="pt")["pixel_values"]
        return values

    return preprocess


def processor_files(source: str, otherwise: str) -> str:
    """Where tokenizer and preprocessing are: in the folder itself if it has them, else where the authors look."""
    folder = expand_home(source)
    own = all(any((folder / name).is_file() for name in names) for names in (_TOKENIZER_FILES, _IMAGE_FILES))
    return source if own else otherwise


def _expanded(source: str) -> str:
    """A folder below ``~`` by its whole path."""
    return str(expand_home(source)) if source.startswith("~") else source


def _normalized(features: Iterable[Any]) -> Tensor:
    """``(n, d)`` float32 of length 1, from one forward after the other."""
    tensors = (batch if isinstance(batch, Tensor) else batch.pooler_output for batch in features)
    return torch.cat([functional.normalize(batch.float(), dim=-1) for batch in tensors])


def _unreadable(what: str, source: str, error: Exception) -> RewardError:
    return RewardError(
        f"The {what} of {source!r} cannot be read ({str(error).splitlines()[0]}); name a folder or a hub id that "
        "has one in the format of transformers."
    )
