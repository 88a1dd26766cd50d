"""This search, whole and with parts of it left out, as a cell of the comparison."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.kept import Point, Run
from benchmarks.search.beds import BEDS, load_bed
from benchmarks.search.cells import Cell

if TYPE_CHECKING:
    from optuna.study import Study

__all__ = ["OURS", "REUSE", "VARIANTS", "run_ours", "whole_evaluations"]

OURS = "ecad-automl"
#: In ECAD's space: cached outputs are only reused, and no step is skipped.
REUSE = "ecad-automl, reuse alone"
FIXED_STEPS = "ecad-automl, fixed steps"
GUIDANCE_KEPT = "ecad-automl, guidance kept"

#: Settings of the search that differ from the usual ones.
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    OURS: {},
    REUSE: {},
    FIXED_STEPS: {},
    GUIDANCE_KEPT: {},
    "ecad-automl, no surrogate": {"surrogate": False},
    "ecad-automl, no racing": {"race": False},
    "ecad-automl, drift not scaled": {"scaled_drift": False},
    "ecad-automl, operators not adaptive": {"adaptive": False},
    "ecad-automl, no step seeds": {"step_seeds": 0, "drift_seeds": 14},
    "ecad-automl, all heuristics": {"heuristics": "all"},
}


class _Follower:
    def __init__(self, progress: Callable[[int], object]) -> None:
        self._progress = progress

    def update(self, status: Any) -> None:
        self._progress(status.evaluations)

    def message(self, text: str) -> None:
        print(text, flush=True)


def run_ours(cell: Cell, work: Path, progress: Callable[[int], object]) -> Run:
    """Search, in a database beside the logs of the rivals, with which it goes on if it was broken off.

    All that it generates before its first candidate is paid for first: the images of the drift, and those of the
    uncached runs of fewer steps, the shortest of which is where the range of interest ends. The uncached run is free,
    as it is for all.

    Args:
        cell: which.
        work: folder of the databases.
        progress: is told the number of evaluations so far.

    Returns:
        What it has evaluated whole. Beside it, of each generation number, evaluations, hypervolume, rank correlation,
        coverage, whether the surrogate chose, and seconds of proposing; and of each candidate that the surrogate
        predicted its generation, whether it was chosen by that, reward and standard deviation as predicted, reward
        (expected where it was stopped), GMACs, share of images and operators.
    """
    import optuna

    from storage import Store, open_optuna_storage
    from studies import attributes
    from studies.config import SearchConfig
    from studies.prepared import PreparedStudy
    from studies.sampler import ScheduleNSGAIISampler
    from studies.search import search_study
    from studies.seeds import searched_steps
    from studies.trials import evaluated_trials, image_share, values_of

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    config = SearchConfig(evaluations=cell.evaluations, seed=cell.seed, **VARIANTS[cell.search])
    bed = BEDS[cell.bed]
    evaluator, layout = load_bed(bed, split="calibration", captions=bed.captions, noises=bed.noises)
    database = cell.log(work).with_suffix(".db")
    database.parent.mkdir(parents=True, exist_ok=True)
    storage = open_optuna_storage(database)
    with Store.open(database) as store:
        identity = {"prompts": evaluator.prompts, "seeds": evaluator.seeds, "bed": cell.bed, **cell.made}
        if cell.search != REUSE:
            identity["use"] = "forecast"
            if cell.search != FIXED_STEPS:
                identity["step_counts"] = searched_steps(evaluator.settings.steps)
            if cell.search != GUIDANCE_KEPT:
                identity["guidance"] = "search"
        search_study(
            PreparedStudy(
                evaluator=evaluator,
                layout=layout,
                store=store,
                optuna_storage=storage,
                name=cell.bed,
                identity=identity,
                config=config,
                observer=_Follower(progress),
            )
        )
        generations = [
            [
                g.generation,
                g.evaluations,
                g.hypervolume,
                g.rank_correlation,
                g.coverage,
                g.surrogate_used,
                round(g.seconds["propose"], 3),
            ]
            for g in store.generations(cell.bed)
        ]
        scores = {record.genome: record.scores[bed.reward] for record in store.evaluations(cell.bed)}
    study = optuna.load_study(study_name=cell.bed, storage=storage)
    foretold = []
    for trial in evaluated_trials(study):
        reward, gmacs = values_of(trial)
        known = trial.user_attrs
        if attributes.PREDICTED_REWARD in known:
            predicted = [round(known[name], 6) for name in (attributes.PREDICTED_REWARD, attributes.PREDICTED_STD)]
            generation = ScheduleNSGAIISampler.generation_of(trial)
            foretold.append(
                [
                    generation,
                    known[attributes.FILTERED],
                    *predicted,
                    round(reward, 6),
                    round(gmacs, 6),
                    image_share(trial),
                    known[attributes.OPERATOR],
                ]
            )
    points = [
        point._replace(scores=np.ravel(scores[point.genome]).tolist())
        for point in whole_evaluations(study, evaluator.images_per_evaluation, evaluator.settings.steps)
    ]
    return Run(cell.evaluations, points, {"generations": generations, "foretold": foretold}, cell.made)


def whole_evaluations(study: Study, images: int, steps: int) -> list[Point]:
    """The whole evaluations of a study in order, with the images that it had paid for by then.

    Args:
        study: of a finished search.
        images: of a whole evaluation. The drift takes as many, and so does each uncached run of fewer steps, which
            as a candidate costs nothing more.
        steps: of the uncached run, whose own trial costs nothing.
    """
    from studies import attributes
    from studies.seeds import UNCACHED, fewer_steps
    from studies.trials import budget_share, evaluated_trials

    paid, points = float(images * (1 + len(fewer_steps(steps)))), []
    for trial in evaluated_trials(study):
        paid += budget_share(trial) * images * (trial.user_attrs[attributes.ORIGIN] != UNCACHED)
        if trial.values is not None:  # not stopped
            points.append(Point(trial.values[0], trial.values[1], round(paid), trial.user_attrs[attributes.GENOME]))
    return points
