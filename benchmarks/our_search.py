"""This search, whole and with parts of it left out, as a cell of the comparison."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.cells import Cell, Point
from benchmarks.landscapes import LANDSCAPES, load

__all__ = ["OURS", "VARIANTS", "run_ours"]

OURS = "ecad-automl"

#: Settings of the search that differ from the usual ones.
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    OURS: {},
    "ecad-automl, racing": {"race": 1.0},
    "ecad-automl, no surrogate": {"surrogate": False},
    "ecad-automl, no drift seeds": {"drift_seeds": 0},
    "ecad-automl, no drift children": {"drift_children": 0},
    "ecad-automl, no heuristics": {"heuristic_seeds": False},
}


class _Follower:
    def __init__(self, progress: Callable[[int], object]) -> None:
        self._progress = progress

    def update(self, status: Any) -> None:
        self._progress(status.evaluations)

    def message(self, text: str) -> None:
        print(text, flush=True)


def run_ours(cell: Cell, work: Path, progress: Callable[[int], object]) -> list[Point]:
    """Search, in a database beside the logs of the rivals, with which it goes on if it was broken off.

    The images of the drift, and of the short uncached run at which the range of interest ends, are paid for first. The
    uncached run is free, as it is for all.

    Args:
        cell: which.
        work: folder of the databases.
        progress: is told the number of evaluations so far.

    Returns:
        Each whole evaluation, in order.
    """
    import optuna

    from storage import Store, open_optuna_storage
    from studies.config import SearchConfig
    from studies.search import Search
    from studies.trials import evaluated_trials, image_share, values_of

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    config = SearchConfig(evaluations=cell.evaluations, seed=cell.seed, **VARIANTS[cell.search])
    landscape = LANDSCAPES[cell.landscape]
    evaluator, layout = load(landscape)
    database = cell.log(work).with_suffix(".db")
    database.parent.mkdir(parents=True, exist_ok=True)
    storage = open_optuna_storage(database)
    with Store.open(database) as store:
        identity = {"prompts": evaluator.prompts, "seeds": evaluator.seeds, "landscape": cell.landscape}
        Search(
            evaluator,
            layout,
            store,
            storage,
            name=cell.landscape,
            identity=identity,
            config=config,
            observer=_Follower(progress),
        ).run()
    images = 2.0 * landscape.images
    points = []
    for trial in evaluated_trials(optuna.load_study(study_name=cell.landscape, storage=storage)):
        images += image_share(trial) * landscape.images
        if trial.values is not None:
            reward, gmacs = values_of(trial)
            points.append(Point(reward, gmacs, round(images)))
    return points
