"""What a benchmark is asked for; imports no torch, so that senseless numbers are refused before a model is loaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ecad_automl.errors import EvaluationError

#: Calls that are not timed whenever a schedule or a cache was put on.
SETTLE = 1

#: Latency does not depend on what is drawn.
PROMPTS = (
    "a lighthouse on a rock in a storm",
    "a bowl of oranges on a wooden table",
    "an old tram in a narrow street at night",
    "a fox in tall grass, seen from the side",
)


#: Is told the batch size, what is about to be called, and how often.
Progress = Callable[[int, str, int], object]


@dataclass(frozen=True)
class BenchPlan:
    """What to time.

    Args:
        batch_sizes: images per pipeline call.
        repeats: timed rounds.
        warmup: calls of each contender before the first round; the first of them also tells memory.
        whole: whether calls go on to the finished image; otherwise they end at the latents.

    Raises:
        EvaluationError: a number is out of range.
    """

    batch_sizes: tuple[int, ...] = (1,)
    repeats: int = 10
    warmup: int = 2
    whole: bool = True

    def __post_init__(self) -> None:
        for size in self.batch_sizes:
            if size < 1:
                raise EvaluationError(f"The batch size is {size}; at least 1 image per call is needed.")
        if not self.batch_sizes or len(set(self.batch_sizes)) != len(self.batch_sizes):
            raise EvaluationError(f"The batch sizes {list(self.batch_sizes)} must be at least one, each once.")
        if self.repeats < 1:
            raise EvaluationError(f"There are {self.repeats} repeats; at least 1 round is needed.")
        if self.warmup < 1:
            raise EvaluationError(f"There are {self.warmup} warm-up calls; at least 1 is needed, the first is slow.")

    def calls_per_turn(self, *, changed: bool) -> int:
        """Pipeline calls each time that a contender takes its turn, which changes the pipeline or not."""
        return 1 + (SETTLE if changed else 0)

    def calls(self, changed: Sequence[bool]) -> int:
        """Number of all pipeline calls, if none fails; for each contender, whether it changes the pipeline."""
        by_contender = [self.warmup + self.repeats * self.calls_per_turn(changed=one) for one in changed]
        return len(self.batch_sizes) * sum(by_contender)
