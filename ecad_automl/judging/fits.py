"""What schedules are fitted to: a few images of other noise than is scored, neither decoded nor scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from ecad_automl.errors import EvaluationError
from ecad_automl.models.generation import GenerationSettings, remembered_texts, run_to_latents
from ecad_automl.patching import without_progress_bar
from ecad_automl.runtime import fit_schedule, uncached_path
from ecad_automl.runtime.step_counts import steps_to_ask_for
from ecad_automl.schedules.schedule import Schedule

#: Images that coefficients are fitted to: with 8 they are as good, with 1 a little worse.
FIT_IMAGES = 4


class Fits:
    """Runs a pipeline to the latents of a few images, and fits schedules to what it does uncached.

    Args:
        pipe: a diffusers pipeline.
        encoded: of each prompt, what the pipeline is called with.
        seed: of the first image; the others have those after it.
        settings: how to generate.
        texts: see :func:`~ecad_automl.models.generation.remembered_texts`.
    """

    def __init__(
        self,
        pipe: Any,
        encoded: Sequence[Mapping[str, Any]],
        seed: int,
        settings: GenerationSettings,
        texts: dict[str, Any],
    ) -> None:
        self._pipe, self._encoded, self._seed = pipe, encoded, seed
        self._settings, self._texts = settings, texts
        self._paths: dict[tuple[int, int], list[Tensor]] = {}  # by numbers of steps and images

    def path(self, steps: int, images: int) -> list[Tensor]:
        """The latents after each of so many steps of an uncached run.

        Raises:
            EvaluationError: see :func:`~ecad_automl.runtime.uncached_path`.
        """
        asked = steps_to_ask_for(self._pipe.scheduler, steps)
        key = steps, images
        if key not in self._paths:
            self._paths[key] = uncached_path(self._pipe, lambda: self._run(asked, images), steps)
        return self._paths[key]

    def fit(self, schedule: Schedule, asked: int, path: Sequence[Tensor], images: int) -> Schedule:
        """See :func:`~ecad_automl.runtime.fit_schedule`; the schedule is in force.

        Args:
            schedule: it.
            asked: steps to call the pipeline with.
            path: of as many images.
            images: how many.
        """
        return fit_schedule(self._pipe, schedule, lambda: self._run(asked, images), path)

    def _run(self, asked: int, images: int) -> None:
        """Up to the last latents; prompts are spread evenly over all there are."""
        prompts = [self._encoded[number * len(self._encoded) // images] for number in range(images)]
        seeds = list(range(self._seed, self._seed + images))
        with without_progress_bar(self._pipe), remembered_texts(self._pipe, self._texts):
            run_to_latents(self._pipe, prompts, seeds, replace(self._settings, steps=asked))


def why_not(path: Callable[[], object]) -> str | None:
    """Why nothing can be fitted to uncached runs of a pipeline; None where it can.

    Args:
        path: makes one.
    """
    try:
        path()
    except EvaluationError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - whatever a pipeline raises that does without decoding
        return f"{type(error).__name__}: {error}"
    return None
