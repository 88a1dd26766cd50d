"""Runs everything that is compared, batch by batch: all runs on one batch, then the next.

So the uncached images that others are compared with need not be kept, and what disturbs the machine disturbs all runs
alike. While the scores of a batch are taken, the next one is generated, except where calls are timed.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from ecad_automl.errors import EvaluationError
from ecad_automl.judging.comparison.metrics import LATENT_DISTANCE, UNCACHED, Judge, Judged, Made
from ecad_automl.models.memory import advice
from ecad_automl.patching import without_progress_bar
from ecad_automl.prompts.checking import check_prompts
from ecad_automl.schedules.schedule import Schedule

if TYPE_CHECKING:
    from torch import Tensor

    from ecad_automl.models.generation import GenerationSettings

#: Calls of each run that are timed, with nothing else going on, after one that is not.
TIMED = 3
#: Prompts whose embeddings are held at a time: thousands of long ones would fill the memory.
SECTION = 256
#: Batches whose scores are waited for at most.
_AHEAD = 2
#: An image: the number of its prompt, and its seed.
Item = tuple[int, int]


@dataclass(frozen=True)
class Sample:
    """The images of a comparison: each prompt with each seed.

    Args:
        prompts: unlike each other.
        seeds: of the noise.

    Raises:
        PromptError: see :func:`~ecad_automl.prompts.checking.check_prompts`.
        EvaluationError: there are no seeds, or one occurs twice.
    """

    prompts: Sequence[str]
    seeds: Sequence[int] = (0,)

    def __post_init__(self) -> None:
        check_prompts(self.prompts)
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise EvaluationError(f"The seeds {list(self.seeds)} must be at least one, each once.")

    @property
    def items(self) -> list[Item]:
        """All images, by prompt, then seed."""
        return [(prompt, seed) for prompt in range(len(self.prompts)) for seed in self.seeds]


class ComparisonObserver(Protocol):
    """Is told how a comparison, or a confirmation, goes."""

    def update(self, done: int, total: int, text: str) -> None:
        """So many of all images, or of all runs, are done."""
        ...

    def message(self, text: str) -> None:
        """Something happened that the user should read."""
        ...


#: Takes the images of a run: its name, which they are, and ``(n, 3, h, w)`` in [0, 1].
ImageSink = Callable[[str, Sequence[Item], "Tensor"], object]


def pending_images(schedules: Mapping[str, Schedule], sample: Sample, judge: Judge, ledger: Ledger) -> int:
    """How many images lack a score of some metric."""
    return sum(len(missing) for missing in _missing(schedules, sample, judge, ledger).values())


def compare(
    pipe: Any,
    settings: GenerationSettings,
    schedules: Mapping[str, Schedule],
    sample: Sample,
    judge: Judge,
    ledger: Ledger,
    *,
    batch: BatchSize,
    observer: ComparisonObserver,
    sink: ImageSink | None = None,
) -> None:
    """Generate and score what the ledger lacks; the uncached run is always among the runs.

    Everything that was scored is kept, whatever ends this; called again, it goes on there. Images start from the noise
    of their seed and are made in the same batches for all runs, so scores are paired.

    Args:
        pipe: a diffusers pipeline.
        settings: how to generate.
        schedules: of the runs, by their names.
        sample: prompts and seeds.
        judge: the metrics.
        ledger: where scores are kept.
        batch: images per call.
        observer: is told of progress.
        sink: gets the images as they come, in a thread of its own.

    Raises:
        EvaluationError: a run is called like the uncached one, or images cannot be made.
        RewardError: a metric gave something other than a finite number per image.
        StorageError: the ledger cannot be written.
    """
    if UNCACHED in schedules:
        raise EvaluationError(f"Two runs are called {UNCACHED!r}; give each schedule file a name of its own.")
    missing = _missing(schedules, sample, judge, ledger)
    wanted = [item for item in sample.items if any(item in lacking for lacking in missing.values())]
    with _Work(pipe, settings, schedules, sample, judge, ledger, missing, observer, sink) as work:
        for section in _sections(wanted):
            work.encode(sorted({prompt for prompt, _ in section}))
            start = 0
            while start < len(section):
                items = section[start : start + batch.size]
                if not work.fits(items):
                    batch.did_not_fit()
                    observer.message(f"The device has too little memory; going on with {batch.size} images per call.")
                    continue
                start += len(items)
                if len(items) == batch.size:
                    batch.fitted()


def _sections(items: Sequence[Item]) -> Iterator[list[Item]]:
    """Images of at most so many prompts at a time."""
    prompts = list(dict.fromkeys(prompt for prompt, _ in items))
    for start in range(0, len(prompts), SECTION):
        chosen = set(prompts[start : start + SECTION])
        yield [item for item in items if item[0] in chosen]


def _missing(
    schedules: Mapping[str, Schedule], sample: Sample, judge: Judge, ledger: Ledger
) -> dict[str, dict[Item, set[str]]]:
    """By run, the images that lack something, and which metrics they lack."""
    missing: dict[str, dict[Item, set[str]]] = {}
    for run in (UNCACHED, *schedules):
        lacking: dict[Item, set[str]] = {}
        for name in judge.names:
            known = ledger.known(run, judge.key(name))
            for item in sample.items:
                if item not in known:
                    lacking.setdefault(item, set()).add(name)
        missing[run] = lacking
    return missing


@dataclass
class _Work:
    """What goes on while a comparison runs: prompts that are encoded, scores that are being taken."""

    pipe: Any
    settings: GenerationSettings
    schedules: Mapping[str, Schedule]
    sample: Sample
    judge: Judge
    ledger: Ledger
    missing: Mapping[str, Mapping[Item, Collection[str]]]
    observer: ComparisonObserver
    sink: ImageSink | None

    def __post_init__(self) -> None:
        from ecad_automl.judging.comparison.encoding import PromptEncoder

        self._total = sum(map(len, self.missing.values()))
        self._done = 0
        self._encoder = PromptEncoder(self.pipe, self.settings)
        self._encoded: dict[int, Mapping[str, Any]] = {}
        self._texts: dict[str, Any] = {}  # what the pipeline made of prompts that it takes as text
        self._handles: dict[str, Any] = {}
        self._timed = {run: len(self.ledger.times(run)) for run in self.missing}
        self._warm: set[tuple[str, int]] = set()
        self._scoring = ThreadPoolExecutor(1, thread_name_prefix="scores")
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="images")
        self._scored: deque[tuple[str, Sequence[Item], Future[Judged]]] = deque()
        self._written: deque[Future[object]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            # What is being scored when something goes wrong, or on Ctrl-C, is not lost.
            self._collect(0)
            for future in self._written:
                future.result()
        except Exception:
            if kind is None:
                raise
        finally:
            self._encoder.attach()
            self._scoring.shutdown(cancel_futures=True)
            self._writing.shutdown(cancel_futures=True)

    def encode(self, prompts: Sequence[int]) -> None:
        """Prepare the prompts of a section, in place of those of the last one."""
        self._texts.clear()
        encoded = self._encoder.encode([self.sample.prompts[prompt] for prompt in prompts])
        self._encoded = dict(zip(prompts, encoded, strict=True))

    def fits(self, items: Sequence[Item]) -> bool:
        """Make and score images under all runs that lack some of them; False where the device has too little memory."""
        import torch

        try:
            self._batch(items)
        except torch.OutOfMemoryError:
            pass
        else:
            return True
        # Out of the handler, which holds on to everything that was being made.
        self._handles.clear()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return False

    def _batch(self, items: Sequence[Item]) -> None:
        lacking = {
            run: {name for item in items for name in by_item.get(item, ())} for run, by_item in self.missing.items()
        }
        latents = any(LATENT_DISTANCE in names for names in lacking.values())
        reference = None
        if lacking[UNCACHED] or any(self.judge.paired(name) for names in lacking.values() for name in names):
            reference = self._make(UNCACHED, None, items, latents)
            self._score(UNCACHED, items, lacking[UNCACHED], reference, reference)
        for run, schedule in self.schedules.items():
            if names := lacking[run]:
                self._score(run, items, names, self._make(run, schedule, items, latents), reference)

    def _make(self, run: str, schedule: Schedule | None, items: Sequence[Item], latents: bool) -> Made:
        from ecad_automl.judging.comparison.latents import captured_latents
        from ecad_automl.models.generation import generate_batch, remembered_texts
        from ecad_automl.runtime import apply_schedule

        timed = self._timed[run] < TIMED
        if timed:
            self._collect(0)
        encoded = [self._encoder.on_device(self._encoded[prompt]) for prompt, _ in items]
        seeds, settings = [seed for _, seed in items], self.settings
        with ExitStack() as stack:
            seen = stack.enter_context(captured_latents(self.pipe)) if latents else []
            stack.enter_context(remembered_texts(self.pipe, self._texts))
            stack.enter_context(without_progress_bar(self.pipe))
            if schedule is not None:
                handle = self._handles.get(run)
                handle = handle.switch(schedule) if handle else apply_schedule(self.pipe, schedule)
                self._handles[run] = stack.enter_context(handle)
                if schedule.steps != settings.steps:
                    settings = replace(settings, steps=handle.arguments["num_inference_steps"])
            start = time.perf_counter()
            images = generate_batch(self.pipe, encoded, seeds, settings)
            seconds = time.perf_counter() - start
        if timed and (run, len(items)) in self._warm:
            self._timed[run] += 1
            self.ledger.save_time(run, len(items), seconds, datetime.now(UTC).isoformat(timespec="seconds"))
        self._warm.add((run, len(items)))
        self._done += sum(item in self.missing[run] for item in items)
        self.observer.update(self._done, self._total, run)
        if self.sink is not None:
            self._written.append(self._writing.submit(self.sink, run, items, images))
            while len(self._written) > _AHEAD:
                self._written.popleft().result()
        return Made(images, seen[-1] if seen else None)

    def _score(
        self, run: str, items: Sequence[Item], names: Collection[str], made: Made, reference: Made | None
    ) -> None:
        if not names:
            return
        future = self._scoring.submit(
            self.judge.judge,
            names,
            [self.sample.prompts[prompt] for prompt, _ in items],
            made,
            reference,
        )
        self._scored.append((run, items, future))
        self._collect(_AHEAD)

    def _collect(self, left: int) -> None:
        """Keep scores, until those of at most so many batches are waited for."""
        while len(self._scored) > left:
            run, items, future = self._scored.popleft()
            scores, features = future.result()
            key = self.judge.key
            by_key = {key(name): values for name, values in scores.items()}
            self.ledger.save(run, items, by_key, {key(name): values for name, values in features.items()})


class Ledger(Protocol):
    """Scores and feature vectors by run, metric and image, and times of calls."""

    def known(self, run: str, metric: str) -> set[Item]:
        """The images of a run that have a score or a vector of a metric."""
        ...

    def save(
        self,
        run: str,
        items: Sequence[Item],
        scores: Mapping[str, NDArray[np.float64]],
        features: Mapping[str, NDArray[np.float32]],
    ) -> None:
        """Keep ``(n,)`` scores and ``(n, d)`` vectors of ``n`` images, all or nothing."""
        ...

    def save_time(self, run: str, images: int, seconds: float, created: str) -> None:
        """Keep the time of one call."""
        ...

    def scores(self, run: str, metric: str, items: Sequence[Item]) -> NDArray[np.float64]:
        """``(n,)`` scores of ``n`` images; NaN where one is not known."""
        ...

    def features(self, run: str, metric: str, items: Sequence[Item]) -> NDArray[np.float32]:
        """``(n, d)`` vectors of ``n`` images."""
        ...

    def times(self, run: str) -> list[tuple[int, float]]:
        """Images and seconds of each timed call of a run, oldest first."""
        ...


class BatchSize:
    """Doubles after each batch that fits, until one does not; from then on it only shrinks.

    Args:
        size: images of the first call.
        limit: most images of a call; with ``limit == size`` the size is fixed, but still halved where it does not fit.

    Raises:
        EvaluationError: the size is below 1, or above the limit.
    """

    def __init__(self, size: int, limit: int | None = None) -> None:
        self._limit = size if limit is None else limit
        if not 1 <= size <= self._limit:
            raise EvaluationError(
                f"The batch size is {size} of at most {self._limit}; at least 1 image per call is needed."
            )
        #: Images of the next call.
        self.size = size

    def fitted(self) -> None:
        """A whole batch of this size went through."""
        self.size = min(2 * self.size, self._limit)

    def did_not_fit(self) -> None:
        """The device had too little memory.

        Raises:
            EvaluationError: for a single image.
        """
        if self.size == 1:
            raise EvaluationError(f"The device has too little memory for a single image; free some, or {advice()}.")
        self.size //= 2
        self._limit = self.size
