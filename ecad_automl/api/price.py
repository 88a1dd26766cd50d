"""What a search takes before it begins: images, and hours and memory from two timed calls."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from studies import SearchJob

#: A candidate's images take this share of the time of uncached ones: schedules that a search tries compute from nearly
#: nothing to nearly all.
_SHARE = 0.5
#: Where a first call of one image takes longer (seconds), the second is of one image too.
_LONG = 5.0
#: Smaller budgets that are told beside that of the search.
_BUDGETS = (25, 50, 100)


@dataclass(frozen=True)
class Timed:
    """What two calls of the uncached pipeline took.

    Args:
        seconds: of one image in the second call.
        batch_size: images of that call.
        device: where.
        weights_bytes: of all parts of the pipeline.
        peak_bytes: most memory of the device in use in the calls; None on the CPU.
        device_bytes: memory of the device; None on the CPU.
    """

    seconds: float
    batch_size: int
    device: str
    weights_bytes: int
    peak_bytes: int | None = None
    device_bytes: int | None = None


@dataclass(frozen=True)
class Price:
    """What a search takes.

    Args:
        evaluations: its budget, in whole evaluations.
        images_each: images of an evaluation.
        steps: denoising steps of the uncached run.
        shorter: steps of the uncached runs of fewer steps that the calibration makes.
        between: steps of those of which it makes a few images alone, for their drift.
        few: how many.
        fit_images: that are made for each candidate beside, to fit it to; neither decoded nor scored.
        timed: None where nothing was timed.
    """

    evaluations: int
    images_each: int
    steps: int
    shorter: tuple[int, ...]
    between: tuple[int, ...] = ()
    few: int = 0
    fit_images: int = 0
    timed: Timed | None = None

    @property
    def calibration_images(self) -> int:
        """Uncached images of all steps and of fewer."""
        return self.images_each * (1 + len(self.shorter)) + self.few * len(self.between)

    @property
    def images(self) -> int:
        """All of them, at most: those of stopped candidates count for the images that they took."""
        return self.calibration_images + self.evaluations * self.images_each

    def seconds(self, evaluations: int | None = None) -> float | None:
        """About how long it takes, scoring left aside; None where nothing was timed.

        Args:
            evaluations: of another budget.
        """
        if self.timed is None:
            return None
        count = self.evaluations if evaluations is None else evaluations
        few = self.few * sum(self.between) / self.steps
        calibration = self.images_each * (1 + sum(self.shorter) / self.steps) + few
        return self.timed.seconds * (calibration + _SHARE * count * (self.images_each + self.fit_images))

    @property
    def line(self) -> str:
        """All of it, for people."""
        told = (
            f"At most {self.images:,} images: {self.evaluations} evaluations of {self.images_each}, and "
            f"{self.calibration_images:,} of the calibration"
        )
        if self.fit_images:
            told += f"; {self.fit_images * self.evaluations:,} more to fit to, not scored"
        seconds = self.seconds()
        if seconds is None or self.timed is None:
            return f"{told}."
        return (
            f"{told}; about {duration(seconds)} on {self.timed.device}, at {self.timed.seconds:.2g} s for an uncached "
            "image and half of that for one of a candidate."
        )

    @property
    def memory(self) -> str:
        """What is known of memory, for people."""
        if self.timed is None:
            return ""
        told = f"Weights: {_gib(self.timed.weights_bytes)}."
        if self.timed.peak_bytes is not None and self.timed.device_bytes is not None:
            told += (
                f" At most {_gib(self.timed.peak_bytes)} of {_gib(self.timed.device_bytes)} on {self.timed.device} "
                f"were in use in a call of {self.timed.batch_size}; cached outputs come to that."
            )
        return told

    @property
    def budgets(self) -> list[tuple[int, int, float | None]]:
        """Evaluations, images and seconds of smaller budgets, and of this one."""
        counts = [count for count in _BUDGETS if count < self.evaluations]
        each, first = self.images_each, self.calibration_images
        return [(count, first + count * each, self.seconds(count)) for count in (*counts, self.evaluations)]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        return {
            "evaluations": self.evaluations,
            "images_per_evaluation": self.images_each,
            "calibration_images": self.calibration_images,
            "images": self.images,
            "fit_images": self.fit_images,
            "seconds": self.seconds(),
            "timed": None if self.timed is None else asdict(self.timed),
            "budgets": [
                {"evaluations": count, "images": images, "seconds": seconds} for count, images, seconds in self.budgets
            ],
        }


def price_of(job: SearchJob, *, timed: bool = True) -> Price:
    """What a search takes.

    Args:
        job: the search.
        timed: whether to make the two calls; without, images alone are told.

    Raises:
        DeviceMemoryError: a single image takes more memory than there is.
        EvaluationError: the pipeline gives images that are none.
    """
    from ecad_automl.judging.fits import FIT_IMAGES
    from studies.calibration import FEW_DRIFT_IMAGES
    from studies.job import may_fit, step_counts
    from studies.seeds import fewer_steps

    steps, images = job.model.settings.steps, len(job.prompts) * len(job.seeds)
    shorter = fewer_steps(steps)
    return Price(
        job.config.evaluations,
        images,
        steps,
        tuple(shorter),
        tuple(count for count in step_counts(job) if count not in shorter),
        min(FEW_DRIFT_IMAGES, images),
        min(FIT_IMAGES, 1 if job.model.calls else job.batch_size) if may_fit(job) else 0,
        _two_calls(job) if timed else None,
    )


def duration(seconds: float) -> str:
    """Such as ``40 s``, ``12 min``, ``3.4 h`` or ``71 days``."""
    for limit, unit, name in ((90, 1, "s"), (5400, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{float(f'{seconds / unit:.2g}'):g} {name}"
    return f"{float(f'{seconds / 86_400:.2g}'):g} days"


def _two_calls(job: SearchJob) -> Timed:
    import torch

    from ecad_automl.models.generation import encode_prompts
    from ecad_automl.models.memory import running_device, told_if_short

    pipe, settings = job.model.pipe, job.model.settings
    device = running_device(pipe)
    size = 1 if job.model.calls else min(job.batch_size, len(job.prompts) * len(job.seeds))
    with told_if_short("A single image"), _memory(device) as peak:
        calls = job.model.calls
        encoded = calls.arguments if calls else encode_prompts(pipe, list(job.prompts[:size]), settings)
        first = _call(job, encoded, 1, device)
        size = 1 if first > _LONG else size
        try:
            seconds = _call(job, encoded, size, device) / size
        except torch.OutOfMemoryError:  # the search halves its batches then
            size, seconds = 1, first
    weights = sum(
        parameter.numel() * parameter.element_size()
        for part in pipe.components.values()
        if hasattr(part, "parameters")
        for parameter in part.parameters()
    )
    return Timed(seconds, size, str(device), weights, *peak)


def _call(job: SearchJob, encoded: Sequence[Mapping[str, Any]], size: int, device: torch.device) -> float:
    """Seconds of a call of so many images."""
    import torch

    from ecad_automl.models.generation import generate_batch
    from ecad_automl.patching import without_progress_bar

    some = [encoded[index % len(encoded)] for index in range(size)]
    start = time.perf_counter()
    with without_progress_bar(job.model.pipe):
        generate_batch(job.model.pipe, some, list(range(size)), job.model.settings)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


@contextmanager
def _memory(device: torch.device) -> Iterator[list[int]]:
    """The most memory of a GPU in use inside, and how much it has, once it ends; nothing of a CPU."""
    import torch

    found: list[int] = []
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    yield found
    if device.type == "cuda":
        found += [int(torch.cuda.max_memory_allocated(device)), int(torch.cuda.mem_get_info(device)[1])]


def _gib(count: int) -> str:
    return f"{count / 2**30:.2g} GiB" if count >= 2**28 else f"{count / 2**20:.2g} MiB"
