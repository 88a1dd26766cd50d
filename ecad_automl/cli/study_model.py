"""The model of a study, loaded again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecad_automl.api.faults import Faults
from ecad_automl.api.settings import DEFAULT_MODEL
from ecad_automl.cli.output import messages, step
from ecad_automl.cli.verbosity import quiet_libraries
from ecad_automl.errors import StudyError
from ecad_automl.views.run import RunView
from ecad_automl.views.study import StudyView

if TYPE_CHECKING:
    from ecad_automl.models import LoadedModel


@dataclass(frozen=True)
class Place:
    """Where the model of a study is, and runs.

    Args:
        moved: a folder or hub id; None is where the study had it.
        device: torch device.
        offload: see :func:`~ecad_automl.load_model`.
    """

    moved: str | None = None
    device: str | None = None
    offload: str | None = None

    def check(self) -> None:
        """Before anything is loaded.

        Raises:
            EcadError: there is no such model or device.
        """
        faults = Faults()
        faults.model(self.moved or DEFAULT_MODEL, dtype=None, device=self.device, offload=self.offload)
        faults.tell()


def load_again(identity: Mapping[str, Any], place: Place) -> LoadedModel:
    """What a study says it was searched with, called as it was there; whether it still is that is not checked.

    Raises:
        UnsupportedModelError: it cannot be loaded.
        StudyError: it was called with more than prompts.
    """
    if "calls" in identity:
        raise StudyError(
            f"The study was searched from Python with calls of its own ({', '.join(identity['calls']['arguments'])}), "
            "which it does not keep, so no image can be made for it here; front.confirm(pipe, calls=[...]) of Python "
            "takes others."
        )
    from ecad_automl.models import load_model

    revision = str(identity["revision"])
    loaded = load_model(
        place.moved or identity["model"],
        # That of a folder is a hash, by which it is known but not found.
        revision=None if revision.startswith("folder-") else revision,
        dtype=identity["dtype"],
        device=place.device,
        offload=place.offload,
    )
    return loaded.with_scheduler(identity["scheduler"]).with_settings(**identity["generation"])


def load_study_model(study: StudyView, place: Place) -> LoadedModel:
    """The model of a study, and no other.

    Raises:
        UnsupportedModelError: it cannot be loaded.
        StudyError: the model is another one by now.
    """
    loaded = load_again(study.identity, place)
    revision = str(study.identity["revision"])
    if loaded.revision != revision:
        raise StudyError(
            f"The model {loaded.name!r} has the revision {loaded.revision}, but the study {study.name!r} searched "
            f"{revision}; name the model of the study with --model."
        )
    return loaded


@contextmanager
def study_images(
    study: StudyView, prompts: Sequence[str], place: Place, batch_size: int
) -> Iterator[Callable[[RunView | None], NDArray[np.float32]]]:
    """With the study's model loaded, what makes images of some prompts under a run, or uncached.

    They start from the noise of the study's first seed and are ``(n, h, w, 3)`` in [0, 1] for ``n`` prompts.

    Raises:
        StudyError: the model is not that of the study.
        UnsupportedModelError: it cannot be loaded.
        EvaluationError: it gives images that are none.
    """
    with step(messages(), "Loading the model"):
        quiet_libraries()
        from ecad_automl.judging.evaluation import Evaluator
        from ecad_automl.judging.threads import enough_threads
        from ecad_automl.rewards import load_reward

        loaded = load_study_model(study, place)
        # An evaluator wants a reward; nothing is scored here.
        scorer, seeds = load_reward("fidelity"), study.identity["seeds"][:1]
        evaluator = Evaluator(loaded.pipe, prompts, seeds, scorer, loaded.settings, batch_size=batch_size)

    def images(run: RunView | None) -> NDArray[np.float32]:
        made = evaluator.generate(None if run is None else study.schedule(run))
        pictures: NDArray[np.float32] = made.permute(0, 2, 3, 1).numpy()
        return pictures

    with evaluator, enough_threads(evaluator, study.layout.step_macs, messages().print):
        yield images
