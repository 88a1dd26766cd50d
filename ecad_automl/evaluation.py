"""Schedule -> images -> scores, over prompts and seeds, against the uncached run of the same noise."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from ecad_automl.errors import EvaluationError, PromptError
from ecad_automl.generation import GenerationSettings, encode_prompts, remembered_texts, stack_prompts
from ecad_automl.rewards.protocol import Floats, PairedReward, Reward, check_scores
from ecad_automl.runtime import Prefixes, ScheduleHandle, SharingReport, apply_schedule
from ecad_automl.schedule import Schedule
from ecad_automl.statistics import MeanDifference, paired_difference

__all__ = ["Evaluation", "Evaluator", "check_prompts", "generate_batch", "without_progress_bar"]


@dataclass(frozen=True)
class Evaluation:
    """What one candidate scored.

    Args:
        scores: ``(prompts, seeds)`` float64 rewards; NaN for images that were not made.
        difference: mean difference to the uncached run on the same images, and its paired standard error; the one to
            expect over all images, with a standard error of NaN, where whoever stopped it knows better.
        seconds: wall time of generation and scoring.
        expected: mean score over all images to expect, where not all were made; None where all were.
        others: scores by further metrics, of the same shape.
    """

    scores: Floats
    difference: MeanDifference
    seconds: float
    expected: float | None = None
    others: Mapping[str, Floats] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether all images were made."""
        return self.expected is None

    @property
    def reward(self) -> float:
        """Mean score; where not all images were made, what is to be expected of it."""
        return float(self.scores.mean()) if self.expected is None else self.expected


def check_prompts(prompts: Sequence[str]) -> list[str]:
    """The prompts, stripped.

    Raises:
        PromptError: there are none, one is empty, or one occurs twice.
    """
    cleaned = [prompt.strip() for prompt in prompts]
    if not cleaned:
        raise PromptError("There are no prompts; at least one is needed, one per line of the prompt file.")
    seen: set[str] = set()
    for number, prompt in enumerate(cleaned, start=1):
        if not prompt:
            raise PromptError(f"Prompt {number} of {len(cleaned)} is empty; remove it or write a text.")
        if prompt in seen:
            raise PromptError(f"The prompt {prompt!r} occurs twice; prompts must differ, or it would count double.")
        seen.add(prompt)
    return cleaned


class Evaluator:
    """Holds a pipeline, prepared prompts and the uncached images, and scores schedules against them.

    The noise of an image depends on its seed alone, so every schedule starts from the same latents and differences
    between schedules are paired. Images are made in fixed batches, by prompt and seed: the same evaluator gives the
    same images for the same schedule on the same machine; made in parts, the same up to the rounding of other batches.

    Args:
        pipe: a diffusers pipeline.
        prompts: the prompts.
        seeds: the seeds of each prompt.
        reward: what to score with.
        settings: how to generate.
        batch_size: images per pipeline call.
        share_bytes: memory for the first steps of schedules, which others that begin alike need not do again; the
            images are the same, bit for bit. None is 1 GiB, or on CUDA a quarter of what is free once the uncached
            images are made; with 0, every schedule does all its steps.
        others: further metrics, taken of the same images.

    Raises:
        PromptError: see :func:`check_prompts`.
        EvaluationError: there are no seeds, the batch size is below 1, or ``share_bytes`` is negative.
    """

    def __init__(
        self,
        pipe: Any,
        prompts: Sequence[str],
        seeds: Sequence[int],
        reward: Reward | PairedReward,
        settings: GenerationSettings,
        *,
        batch_size: int = 8,
        share_bytes: int | None = None,
        others: Mapping[str, Reward | PairedReward] | None = None,
    ) -> None:
        if not seeds or len(set(seeds)) != len(seeds):
            raise EvaluationError(f"The seeds {list(seeds)} must be at least one, each once.")
        if batch_size < 1:
            raise EvaluationError(f"The batch size is {batch_size}; at least 1 image per call is needed.")
        if share_bytes is not None and share_bytes < 0:
            raise EvaluationError(f"The memory for shared steps is {share_bytes} bytes; 0 turns sharing off.")
        self.pipe = pipe
        self.prompts = check_prompts(prompts)
        self.seeds = list(seeds)
        self.reward = reward
        self.others = dict(others or {})
        self.settings = settings
        self.batch_size = batch_size
        self._encoded = encode_prompts(pipe, self.prompts, settings)
        self._texts: dict[str, Any] = {}  # what the pipeline made of prompts that it takes as text
        #: The prompt and the seed of each image.
        self._items = [(prompt, seed) for prompt in range(len(self.prompts)) for seed in self.seeds]
        self._reference: Tensor | None = None
        self._baseline: Evaluation | None = None
        self._share_bytes = share_bytes
        self._prefixes: Prefixes | None = None
        self._last: ScheduleHandle | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back the memory of shared steps; whoever holds the pipeline would otherwise hold it for long."""
        self._last = None
        if self._prefixes is not None:
            self._prefixes.clear()

    @property
    def images_per_evaluation(self) -> int:
        """Number of images that one candidate costs."""
        return len(self.prompts) * len(self.seeds)

    @property
    def reference_images(self) -> Tensor:
        """``(prompts * seeds, 3, h, w)`` float in [0, 1]: the uncached images, generated on first use."""
        if self._reference is None:
            self._reference = self.generate(None)
        return self._reference

    @property
    def sharing(self) -> SharingReport:
        """What schedules have shared so far."""
        return SharingReport() if self._prefixes is None else self._prefixes.report()

    def baseline(self) -> Evaluation:
        """The uncached run, generated once."""
        if self._baseline is None:
            start = time.perf_counter()
            scores, others = self._score(self.reference_images, self._all)
            difference = paired_difference(self._by_prompt(scores), self._by_prompt(scores))
            seconds = time.perf_counter() - start
            self._baseline = Evaluation(
                self._by_prompt(scores),
                difference,
                seconds,
                others={name: self._by_prompt(values) for name, values in others.items()},
            )
        return self._baseline

    def evaluate(self, schedule: Schedule) -> Evaluation:
        """Generate and score under a schedule."""
        return self._evaluate(lambda: self.generate(schedule))

    def evaluate_parts(self, schedule: Schedule, parts: Sequence[Sequence[int]]) -> Iterator[Evaluation]:
        """Generate and score part by part; whoever has seen enough stops asking.

        Args:
            schedule: what to run under.
            parts: numbers of images, counted by prompt and then seed from 0; together each image once.

        Yields:
            After each part the evaluation so far; the last one is complete.

        Raises:
            EvaluationError: the parts do not hold each image once, or one is empty.
        """
        if sorted(image for part in parts for image in part) != list(self._all) or not all(map(len, parts)):
            raise EvaluationError(
                f"Parts of {[len(part) for part in parts]} images were asked for; together they must hold each of the "
                f"{len(self._all)} images once, and none may be empty."
            )
        self.baseline()
        scores, seconds = np.full(len(self._all), np.nan), 0.0
        others = {name: scores.copy() for name in self.others}
        for part in parts:
            start = time.perf_counter()
            scores[list(part)], found = self._score(self._generate(schedule, part), part)
            for name, values in found.items():
                others[name][list(part)] = values
            seconds += time.perf_counter() - start
            yield self._evaluation(scores.copy(), {name: values.copy() for name, values in others.items()}, seconds)

    def evaluate_steps(self, steps: int) -> Evaluation:
        """Generate and score an uncached run of another number of steps: the plainest way to save compute."""
        return self._evaluate(lambda: self.generate(None, steps=steps))

    def generate(self, schedule: Schedule | None, *, steps: int | None = None) -> Tensor:
        """Images under a schedule, or uncached.

        Returns:
            ``(prompts * seeds, 3, h, w)`` float32 in [0, 1] on the CPU, by prompt, then seed.
        """
        return self._generate(schedule, self._all, steps)

    def generate_some(self, count: int) -> Tensor:
        """Uncached images of at most ``count`` prompts and seeds, spread evenly over all."""
        last = len(self._items) - 1
        chosen = np.unique(np.linspace(0, last, min(count, len(self._items))).round().astype(int))
        return self._images(self.settings, chosen.tolist())

    @property
    def _all(self) -> range:
        return range(len(self._items))

    def _generate(self, schedule: Schedule | None, images: Sequence[int], steps: int | None = None) -> Tensor:
        """``(n, 3, h, w)``: some images, by their numbers."""
        settings = self.settings if steps is None else replace(self.settings, steps=steps)
        if schedule is None:
            return self._images(settings, images)
        if self._prefixes is None:
            limit = _default_share(self.pipe) if self._share_bytes is None else self._share_bytes
            self._prefixes = Prefixes(limit)
        # Blocks prepared for one schedule serve the next.
        with apply_schedule(self.pipe, schedule, prefixes=self._prefixes, like=self._last) as self._last:
            return self._images(settings, images)

    def _images(self, settings: GenerationSettings, images: Sequence[int]) -> Tensor:
        return torch.cat(list(self._batches(settings, [self._items[image] for image in images])))

    def _batches(self, settings: GenerationSettings, items: Sequence[tuple[int, int]]) -> Iterator[Tensor]:
        with without_progress_bar(self.pipe), remembered_texts(self.pipe, self._texts):
            for start in range(0, len(items), self.batch_size):
                chunk = items[start : start + self.batch_size]
                yield generate_batch(
                    self.pipe, [self._encoded[prompt] for prompt, _ in chunk], [seed for _, seed in chunk], settings
                )

    def _evaluate(self, generate: Callable[[], Tensor]) -> Evaluation:
        self.baseline()
        start = time.perf_counter()
        scores, others = self._score(generate(), self._all)
        return self._evaluation(scores, others, time.perf_counter() - start)

    def _evaluation(self, flat: Floats, others: Mapping[str, Floats], seconds: float) -> Evaluation:
        """From scores of all images, NaN for those that were not made."""
        uncached, scores = self.baseline().scores, self._by_prompt(flat)
        difference = paired_difference(scores, uncached)
        # Whoever knows more of the images than that the others are alike may expect something else.
        expected = float(uncached.mean()) + difference.mean if np.isnan(scores).any() else None
        by_prompt = {name: self._by_prompt(values) for name, values in others.items()}
        return Evaluation(scores, difference, seconds, expected, by_prompt)

    def _by_prompt(self, scores: Floats) -> Floats:
        """``(prompts, seeds)`` from scores of all images."""
        return scores.reshape(len(self.prompts), -1)

    def _score(self, images: Tensor, numbers: Sequence[int]) -> tuple[Floats, dict[str, Floats]]:
        """``(n,)`` scores of images that have these numbers: by the reward, and by further metrics."""
        prompts = [self.prompts[self._items[number][0]] for number in numbers]

        def scored(name: str, reward: Reward | PairedReward) -> Floats:
            if isinstance(reward, PairedReward):
                found = reward.score_pairs(images, self.reference_images[list(numbers)], prompts)
            else:
                found = reward.score(images, prompts)
            return check_scores(name, found, len(prompts))

        return scored(self.reward.name, self.reward), {name: scored(name, each) for name, each in self.others.items()}


def generate_batch(
    pipe: Any, encoded: Sequence[Mapping[str, Any]], seeds: Sequence[int], settings: GenerationSettings
) -> Tensor:
    """One pipeline call.

    Args:
        pipe: the pipeline.
        encoded: ``n`` prepared prompts, see :func:`~ecad_automl.generation.encode_prompts`.
        seeds: ``n`` seeds of the noise, drawn on the CPU so that it is the same on every device.
        settings: how to generate.

    Returns:
        ``(n, 3, h, w)`` float32 in [0, 1] on the CPU.

    Raises:
        EvaluationError: the pipeline gave values that are not finite.
    """
    generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
    with torch.no_grad():
        output = pipe(**stack_prompts(encoded), **settings.call_arguments(), generator=generators, output_type="pt")
    images: Tensor = output.images.float().cpu()
    if not bool(torch.isfinite(images).all()):
        raise EvaluationError(
            "The pipeline gave images with NaN or infinite pixels; use a wider dtype (bfloat16 or float32)."
        )
    return images


def _default_share(pipe: Any) -> int:
    """Bytes for shared steps where nobody has said how many."""
    device = torch.device(getattr(pipe, "_execution_device", "cpu"))
    if device.type != "cuda":
        return 2**30
    free, _ = torch.cuda.mem_get_info(device)
    return int(free) // 4


@contextmanager
def without_progress_bar(pipe: Any) -> Iterator[None]:
    """For a while, a pipeline shows no progress bar of its own: whoever runs many calls shows one over all."""
    before = dict(getattr(pipe, "_progress_bar_config", {}))
    pipe.set_progress_bar_config(**{**before, "disable": True})
    try:
        yield
    finally:
        pipe.set_progress_bar_config(**before)
