"""Schedule -> images -> scores, over prompts and seeds, against the uncached run of the same noise."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Self, TypeVar

import numpy as np
import torch
from torch import Tensor

from ecad_automl.errors import EvaluationError
from ecad_automl.judging.fits import FIT_IMAGES, Fits, why_not
from ecad_automl.judging.statistics import MeanDifference, paired_difference
from ecad_automl.models.calls import Calls
from ecad_automl.models.generation import (
    VIDEO,
    GenerationSettings,
    encode_prompts,
    generate_batch,
    remembered_texts,
)
from ecad_automl.models.memory import advice, default_share
from ecad_automl.patching import without_progress_bar
from ecad_automl.prompts.checking import check_prompts
from ecad_automl.rewards.protocol import Floats, PairedReward, Reward, check_scores
from ecad_automl.runtime import (
    Prefixes,
    PrefixReport,
    ScheduleHandle,
    apply_schedule,
)
from ecad_automl.schedules.schedule import Schedule

_Made = TypeVar("_Made")


@dataclass(frozen=True)
class Evaluation:
    """What one candidate scored.

    Args:
        scores: ``(prompts, seeds)`` float64 rewards; NaN for images that were not made.
        difference: mean difference to the uncached run on the same images, and its paired standard error; the one to
            expect over all images, with a standard error of NaN, where whoever stopped it knows better.
        seconds: wall time of generation and scoring.
        expected: mean score over all images to expect, where not all were made; None where all were.
        metrics: scores by further metrics, of the same shape.
    """

    scores: Floats
    difference: MeanDifference
    seconds: float
    expected: float | None = None
    metrics: Mapping[str, Floats] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether all images were made."""
        return self.expected is None

    @property
    def reward(self) -> float:
        """Mean score; where not all images were made, what is to be expected of it."""
        return float(self.scores.mean()) if self.expected is None else self.expected


def judged(scores: Floats, uncached: Floats, seconds: float, metrics: Mapping[str, Floats] | None = None) -> Evaluation:
    """What scores say of a schedule.

    Args:
        scores: ``(prompts, seeds)`` rewards; NaN for images that were not made.
        uncached: ``(prompts, seeds)`` rewards of the uncached run, on the same noise.
        seconds: wall time of generation and scoring.
        metrics: scores by further metrics.
    """
    difference = paired_difference(scores, uncached)
    # Whoever knows more of the images than that the others are alike may expect something else.
    expected = float(uncached.mean()) + difference.mean if np.isnan(scores).any() else None
    return Evaluation(scores, difference, seconds, expected, metrics or {})


class Evaluator:
    """Holds a pipeline, prepared prompts and the uncached images, and scores schedules against them.

    The noise of an image depends on its seed alone, so every schedule starts from the same latents and differences
    between schedules are paired. Images are made in fixed batches, by prompt and seed: the same evaluator gives the
    same images for the same schedule on the same machine; made in parts, the same up to the rounding of other batches.
    Where the device runs out of memory, batches are halved.

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
        metrics: further metrics, taken of the same images.
        reference: ``(prompts * seeds, 3, h, w)`` the uncached images, where they are made already.
        fit_images: images of other noise to which :meth:`fitted` fits, at most those of one pipeline call.
        calls: what the pipeline is called with in place of the prompts, which are only their names then; one at a time.
            They may give videos, ``(prompts * seeds, frames, 3, h, w)``, of which each frame is scored and the mean is
            taken.

    Raises:
        PromptError: see :func:`~ecad_automl.prompts.checking.check_prompts`.
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
        metrics: Mapping[str, Reward | PairedReward] | None = None,
        reference: Tensor | None = None,
        calls: Calls | None = None,
        fit_images: int = FIT_IMAGES,
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
        self.metrics = dict(metrics or {})
        self.settings = settings
        self.batch_size = batch_size if calls is None else 1
        #: What whoever runs this should be told: how the size of batches changed.
        self.notes: list[str] = []
        self._scored_together = batch_size
        self._texts_judged: Sequence[str] = self.prompts if calls is None else calls.texts
        self._encoded = encode_prompts(pipe, self.prompts, settings) if calls is None else calls.arguments
        self._texts: dict[str, Any] = {}  # what the pipeline made of prompts that it takes as text
        #: The prompt and the seed of each image.
        self._items = [(prompt, seed) for prompt in range(len(self.prompts)) for seed in self.seeds]
        self._reference = reference
        self._baseline: Evaluation | None = None
        self._share_bytes = share_bytes
        self._prefixes: Prefixes | None = None
        self._handle: ScheduleHandle | None = None
        self._fit_images = fit_images
        self._fits = Fits(pipe, self._encoded, max(self.seeds) + 1, settings, self._texts)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back the memory of shared steps; whoever holds the pipeline would otherwise hold it for long."""
        self._handle = None
        if self._prefixes is not None:
            self._prefixes.clear()

    @property
    def images_per_evaluation(self) -> int:
        """Number of images that one candidate costs."""
        return len(self.prompts) * len(self.seeds)

    @property
    def reference_images(self) -> Tensor:
        """``(prompts * seeds, [frames,] 3, h, w)`` float in [0, 1]: the uncached images, generated on first use."""
        if self._reference is None:
            self._reference = self.generate(None)
        return self._reference

    @property
    def sharing(self) -> PrefixReport:
        """What schedules have shared so far."""
        return PrefixReport() if self._prefixes is None else self._prefixes.report()

    def baseline(self) -> Evaluation:
        """The uncached run, generated once."""
        if self._baseline is None:
            start = time.perf_counter()
            found = self._score([self.reference_images], self._all)
            self._baseline = self._evaluation(found, time.perf_counter() - start, found[self.reward.name])
        return self._baseline

    def evaluate(self, schedule: Schedule) -> Evaluation:
        """Generate and score under a schedule."""
        self.baseline()
        start = time.perf_counter()
        found = self.scores(schedule, self._all)
        return self._evaluation(found, time.perf_counter() - start)

    def scores(self, schedule: Schedule, images: Sequence[int]) -> dict[str, Floats]:
        """Generate and score some images.

        Images are made and scored in batches, in the order given: those of two calls that divide a list of images
        where a batch ends have the same scores as those of one call, bit for bit.

        Args:
            schedule: what to run under.
            images: numbers of ``n`` images, counted by prompt and then seed from 0.

        Returns:
            ``(n,)`` scores by the name of the reward and of each further metric.

        Raises:
            EvaluationError: there are no such images, or not even one at a time fits into the memory of the device.
            RewardError: a reward gave something other than one finite number per image.
        """
        if not images or not 0 <= min(images) <= max(images) < len(self._all) or len(set(images)) != len(images):
            raise EvaluationError(
                f"The images {list(images)} were asked for; they must be at least one of the {len(self._all)}, each "
                "once."
            )
        if any(isinstance(scorer, PairedReward) for scorer in self._scorers.values()):
            _ = self.reference_images  # made before the schedule is in force
        return self._score(self._made(schedule, images), images)

    def evaluate_steps(self, steps: int) -> Evaluation:
        """Generate and score an uncached run of another number of steps: the plainest way to save compute."""
        self.baseline()
        start = time.perf_counter()
        found = self._score(self._made(None, self._all, steps), self._all)
        return self._evaluation(found, time.perf_counter() - start)

    def generate(self, schedule: Schedule | None, *, steps: int | None = None) -> Tensor:
        """Images under a schedule, or uncached.

        Returns:
            ``(prompts * seeds, [frames,] 3, h, w)`` float32 in [0, 1] on the CPU, by prompt, then seed.
        """
        return self._generate(schedule, self._all, steps)

    def generate_some(self, count: int, schedule: Schedule | None = None, *, steps: int | None = None) -> Tensor:
        """Images of at most ``count`` prompts and seeds, spread evenly over all; uncached without a schedule."""
        last = len(self._items) - 1
        chosen = np.unique(np.linspace(0, last, min(count, len(self._items))).round().astype(int))
        return self._generate(schedule, chosen.tolist(), steps)

    def fitted(self, schedule: Schedule) -> Schedule:
        """The schedule with coefficients fitted to uncached runs of a few images of other noise.

        Raises:
            EvaluationError: the pipeline cannot be watched so, see :func:`~ecad_automl.runtime.uncached_path`.
        """
        if schedule.is_uncached:
            return schedule
        schedule = schedule.with_fitted(None)

        def fit() -> Schedule:
            path = self.path(schedule.steps)
            with self._switched(schedule) as run, self._shared.one_model():
                return self._fits.fit(schedule, run.arguments["num_inference_steps"], path, self.fit_images)

        return self._in_memory(fit)

    @property
    def fit_images(self) -> int:
        """Images that are fitted to: those of one pipeline call at most."""
        return min(self._fit_images, self.batch_size)

    def path(self, steps: int) -> list[Tensor]:
        """The latents after each of so many steps of uncached runs, of the images that are fitted to.

        Raises:
            EvaluationError: the pipeline cannot be watched so.
        """
        return self._in_memory(lambda: self._fits.path(steps, self.fit_images))

    def why_not_fitted(self) -> str | None:
        """Why nothing can be fitted in the pipeline; None where it can."""
        return why_not(lambda: self.path(self.settings.steps))

    def _in_memory(self, make: Callable[[], _Made]) -> _Made:
        """What is made, with smaller batches where the device has too little memory."""
        while True:
            try:
                return make()
            except torch.OutOfMemoryError:
                pass
            # Out of the handler, which holds on to everything that was being made.
            self._halve_batches()

    def _switched(self, schedule: Schedule) -> ScheduleHandle:
        """The schedule in force, by the one handle that remembers what it has recorded."""
        if self._handle is None:
            self._handle = apply_schedule(self.pipe, schedule, prefixes=self._shared)
        return self._handle.switch(schedule)

    @property
    def _shared(self) -> Prefixes:
        if self._prefixes is None:
            limit = default_share(self.pipe) if self._share_bytes is None else self._share_bytes
            self._prefixes = Prefixes(limit)
        return self._prefixes

    @property
    def _all(self) -> range:
        return range(len(self._items))

    def _generate(self, schedule: Schedule | None, images: Sequence[int], steps: int | None = None) -> Tensor:
        """``(n, [frames,] 3, h, w)``: some images, by their numbers."""
        return torch.cat(list(self._made(schedule, images, steps)))

    def _made(self, schedule: Schedule | None, images: Sequence[int], steps: int | None = None) -> Iterator[Tensor]:
        """Some images, by their numbers: those of one pipeline call after another."""
        settings = self.settings if steps is None else replace(self.settings, steps=steps)
        items = [self._items[image] for image in images]
        if schedule is None:
            yield from self._batches(settings, items)
            return
        # Nothing but the pipeline itself runs on its transformer until these images are made.
        with self._switched(schedule) as run, self._shared.one_model():
            if schedule.steps != settings.steps:
                settings = replace(settings, steps=run.arguments["num_inference_steps"])
            yield from self._batches(settings, items)

    def _batches(self, settings: GenerationSettings, items: Sequence[tuple[int, int]]) -> Iterator[Tensor]:
        done = 0
        with without_progress_bar(self.pipe), remembered_texts(self.pipe, self._texts):
            while done < len(items):
                chunk = items[done : done + self.batch_size]
                images = self._batch(settings, chunk)
                # Out of the handler, which holds on to everything that was being made.
                if images is None:
                    self._halve_batches()
                    continue
                yield images
                done += len(chunk)

    def _batch(self, settings: GenerationSettings, chunk: Sequence[tuple[int, int]]) -> Tensor | None:
        """The images of one pipeline call; None where the device has too little memory."""
        encoded, seeds = [self._encoded[prompt] for prompt, _ in chunk], [seed for _, seed in chunk]
        try:
            return generate_batch(self.pipe, encoded, seeds, settings)
        except torch.OutOfMemoryError:
            return None

    def _halve_batches(self) -> None:
        if self.batch_size == 1:
            raise EvaluationError(f"Not even one image at a time fits into the memory of the device; {advice()}.")
        self.close()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self.batch_size = (self.batch_size + 1) // 2
        self.notes.append(
            f"The device ran out of memory, so there are {self.batch_size} images per call from here; scores may "
            "differ from earlier ones by rounding."
        )

    def _evaluation(self, found: Mapping[str, Floats], seconds: float, uncached: Floats | None = None) -> Evaluation:
        """From ``(n,)`` scores of all images by each metric."""
        by_prompt = {name: values.reshape(len(self.prompts), -1) for name, values in found.items()}
        scores = by_prompt.pop(self.reward.name)
        against = self.baseline().scores if uncached is None else uncached.reshape(scores.shape)
        return judged(scores, against, seconds, by_prompt)

    @property
    def _scorers(self) -> dict[str, Reward | PairedReward]:
        return {self.reward.name: self.reward, **self.metrics}

    def _score(self, made: Iterable[Tensor], numbers: Sequence[int]) -> dict[str, Floats]:
        """``(n,)`` scores by the reward and by further metrics of images that have these numbers, as they are made.

        A batch is scored while the next one is made.
        """
        with ThreadPoolExecutor(1, "scores") as thread:
            scored, start = [], 0
            # In the batches in which they are made: what is scored together may be told apart by rounding.
            for images in _regrouped(made, self._scored_together):
                scored.append(thread.submit(self._score_batch, images, list(numbers[start : start + len(images)])))
                start += len(images)
            found = [each.result() for each in scored]
        return {name: np.concatenate([batch[name] for batch in found]) for name in found[0]}

    def _score_batch(self, images: Tensor, numbers: list[int]) -> dict[str, Floats]:
        frames = images.shape[1] if images.ndim == VIDEO else 1
        prompts = [self._texts_judged[self._items[number][0]] for number in numbers for _ in range(frames)]
        pictures = images.reshape(-1, *images.shape[-3:])
        found: dict[str, Floats] = {}
        for name, scorer in self._scorers.items():
            if isinstance(scorer, PairedReward):
                uncached = self.reference_images[numbers].reshape(pictures.shape)
                scores = scorer.score_pairs(pictures, uncached, prompts)
            else:
                scores = scorer.score(pictures, prompts)
            found[name] = check_scores(name, scores, len(prompts)).reshape(-1, frames).mean(axis=1)
        return found


def _regrouped(batches: Iterable[Tensor], size: int) -> Iterator[Tensor]:
    """The same images with so many in each batch but the last."""
    kept: list[Tensor] = []
    for batch in batches:
        kept.append(batch)
        while sum(map(len, kept)) >= size:
            together = torch.cat(kept)
            yield together[:size]
            kept = [together[size:]]
    if sum(map(len, kept)):
        yield torch.cat(kept)
