"""Images for a report, made with the study's model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ecad_automl.cli.libraries import quiet_libraries
from ecad_automl.cli.output import messages, step
from ecad_automl.cli.progress import LiveProgress
from ecad_automl.cli.study_model import load_study_model
from ecad_automl.views.report.data import Images
from ecad_automl.views.run import RunView
from ecad_automl.views.study import StudyView

if TYPE_CHECKING:
    from ecad_automl.schedules.schedule import Schedule

__all__ = ["make_images"]


def make_images(
    study: StudyView,
    schedules: Sequence[RunView],
    prompts: Sequence[str],
    source: str,
    *,
    model: str | None = None,
    device: str | None = None,
    batch_size: int = 8,
) -> Images:
    """Generate each prompt uncached and under each schedule, from the noise of the study's first seed.

    Args:
        study: what the report is of.
        schedules: which ones.
        prompts: what to draw.
        source: where the prompts are from, for people.
        model: where the study's model lies now, if it was moved.
        device: torch device.
        batch_size: images per pipeline call.

    Raises:
        StudyError: the model is not that of the study.
        UnsupportedModelError: it cannot be loaded.
        EvaluationError: it gives images that are none.
    """
    console = messages()
    with step(console, "Loading the model"):
        quiet_libraries()
        from ecad_automl.judging.evaluation import Evaluator
        from ecad_automl.rewards import load_reward

        loaded = load_study_model(study, model, device)
        evaluator = Evaluator(
            loaded.pipe,
            prompts,
            study.identity["seeds"][:1],
            load_reward("fidelity"),  # an evaluator wants one; nothing is scored here
            loaded.settings,
            batch_size=batch_size,
        )

    def pictures(schedule: Schedule | None) -> NDArray[np.float32]:
        images: NDArray[np.float32] = evaluator.generate(schedule).permute(0, 2, 3, 1).numpy()
        return images

    made = {}
    with LiveProgress(console) as live:
        runs = len(schedules) + 1
        live.update(0, runs, "Images, uncached")
        uncached = pictures(None)
        for number, run in enumerate(schedules, start=1):
            live.update(number, runs, f"Images, {run.speedup:.2f}x")
            made[run.genome or ""] = pictures(study.schedule(run))
        live.update(runs, runs, "Images")
    return Images(tuple(prompts), source, uncached, made)
