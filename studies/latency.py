"""The latency model of a study: calibrated once, and then the same in every run of it."""

from __future__ import annotations

import json

from ecad_automl.errors import StorageError
from ecad_automl.judging.machine import machine
from ecad_automl.latency.bench import device_name
from ecad_automl.latency.calibrate import calibrate_latency
from ecad_automl.latency.model import LatencyModel
from ecad_automl.models import LoadedModel
from ecad_automl.schedules.layout import Layout
from storage import Store
from studies.config import LatencySettings
from studies.progress import SearchObserver, SearchStatus

_NAME = "latency"
#: Times of schedules are told in steps of this many: each may take long, but a line for each is too much.
_TELL_EVERY = 5


def latency_model(
    model: LoadedModel,
    layout: Layout,
    settings: LatencySettings,
    store: Store,
    study: str,
    observer: SearchObserver,
    budget: int = 0,
) -> LatencyModel:
    """The model that the study holds; calibrated and kept where it holds none.

    Raises:
        StorageError: the stored model is damaged.
    """
    found = stored_latency_model(layout, store, study)
    if found is None:
        found = _calibrated(model, layout, settings, observer, budget)
        store.save_calibration(study, _NAME, json.dumps(found.to_dict()).encode())
    where = _named(found.about.get("device"), found.about.get("machine", {}))
    observer.message(
        f"Latency model: {found.samples} schedules timed on {where}, median error {found.error:.1%} on one left out."
    )
    here = _named(device_name(next(model.pipe.transformer.parameters()).device), machine())
    if here != where:
        observer.message(f"This is {here}; the study goes on with the latencies of {where}.")
    return found


def _calibrated(
    model: LoadedModel, layout: Layout, settings: LatencySettings, observer: SearchObserver, budget: int
) -> LatencyModel:
    def tell(done: int, count: int) -> None:
        if done % _TELL_EVERY == 0:
            observer.update(SearchStatus(0, budget, 0, text=f"timing random schedules, {done} of at most {count} done"))

    return calibrate_latency(model, settings.schedules, batch_size=settings.batch_size, layout=layout, progress=tell)


def stored_latency_model(layout: Layout, store: Store, study: str) -> LatencyModel | None:
    """The model that the study holds, or None.

    Raises:
        StorageError: it is damaged.
    """
    stored = store.calibration(study, _NAME)
    if stored is None:
        return None
    try:
        data = json.loads(stored)
    except ValueError as error:
        raise StorageError(f"The latency model of the study is damaged ({error}); start a new study.") from error
    return LatencyModel.from_dict(layout, data)


def _named(device: object, about: dict[str, object]) -> str:
    """The accelerator, or the processor where there is none."""
    return str(about.get("processor") or device) if device == "cpu" else str(device)
